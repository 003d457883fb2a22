import { testSeeds } from "./sim-seeds.js";

testSeeds(91, 110);
