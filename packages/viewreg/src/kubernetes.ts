/** The endpoints of a Kubernetes service, from its EndpointSlices (discovery.k8s.io/v1). */

export type { KubernetesHttp, KubernetesResponse, Secret } from "./locators/kubernetes-api.js";
export { type InCluster, type InClusterOptions, inCluster } from "./locators/kubernetes-in-cluster.js";
export {
  type EndpointSliceLocatorOptions,
  endpointSliceLocator,
} from "./locators/kubernetes-locator.js";
