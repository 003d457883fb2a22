/** For the tests of programs that use a registry: everything it gets from outside, as the test wants it. */

export { type FakeChannel, type FakeConnector, fakeConnector } from "./testing/fake-connector.js";
export { type FakeLocator, fakeLocator } from "./testing/fake-locator.js";
export { type FakeAnswer, type FakeProbe, fakeProbe } from "./testing/fake-probe.js";
export { type ManualClock, manualClock } from "./testing/manual-clock.js";
export { withFeatures } from "./testing/with-features.js";
