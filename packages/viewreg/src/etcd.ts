/** Servers that register themselves under a prefix of etcd, or of any store behind the port of `@x/coord`. */
export {
  type EtcdLocator,
  type EtcdLocatorOptions,
  etcdLocator,
  type SkippedKey,
} from "./locators/etcd-locator.js";
export {
  type RegisterOptions,
  type Registration,
  type RegistrationEvent,
  register,
} from "./locators/etcd-register.js";
