/** The rules of Gazette for routes and headers (route_extensions.go, header_extensions.go, broker_spec_extensions.go). */
import type { Header, ProcessId, Route } from "./header.js";
import { checkArray, checkInt64, checkInteger, checkObject, type Place, refuse, within } from "./refusal.js";
import { checkToken, compareUtf8 } from "./text-rules.js";
import { checkEndpointAt } from "./url-rules.js";

const MAX_UINT64 = 2n ** 64n - 1n;

export function checkProcessIdAt(place: Place, id: ProcessId): void {
  checkObject(place, id);
  checkToken(within(place, "zone"), id.zone, 1, 32);
  checkToken(within(place, "suffix"), id.suffix, 4, 128);
}

export function checkRouteAt(place: Place, route: Route): void {
  checkObject(place, route);
  const { members, primary, endpoints } = route;
  checkArray(within(place, "members"), members);
  checkArray(within(place, "endpoints"), endpoints);
  for (const [index, member] of members.entries()) {
    checkProcessIdAt(within(within(place, "members"), index), member);
    const before = members[index - 1];
    if (
      before !== undefined &&
      (compareUtf8(before.zone, member.zone) || compareUtf8(before.suffix, member.suffix)) >= 0
    ) {
      refuse(
        within(within(place, "members"), index),
        `${member.zone} ${member.suffix}`,
        "members must be unique, and sorted by zone and then by suffix",
      );
    }
  }
  checkInteger(within(place, "primary"), primary, -1, members.length - 1);
  if (endpoints.length !== 0 && endpoints.length !== members.length) {
    refuse(
      within(place, "endpoints"),
      endpoints,
      `there must be none, or one for each of ${members.length} members`,
    );
  }
  for (const [index, endpoint] of endpoints.entries()) {
    if (endpoint !== "") checkEndpointAt(within(within(place, "endpoints"), index), endpoint);
  }
}

export function checkHeaderAt(place: Place, header: Header): void {
  checkObject(place, header);
  const { processId, route, etcd } = header;
  checkObject(within(place, "processId"), processId);
  // Neither zone nor suffix: a broker that answers for no process in particular.
  if (processId.zone !== "" || processId.suffix !== "")
    checkProcessIdAt(within(place, "processId"), processId);
  checkRouteAt(within(place, "route"), route);
  const etcdPlace = within(place, "etcd");
  checkObject(etcdPlace, etcd);
  checkInt64(within(etcdPlace, "clusterId"), etcd.clusterId, 1n, MAX_UINT64);
  checkInt64(within(etcdPlace, "memberId"), etcd.memberId, 1n, MAX_UINT64);
  checkInt64(within(etcdPlace, "revision"), etcd.revision, 1n);
  checkInt64(within(etcdPlace, "raftTerm"), etcd.raftTerm, 1n, MAX_UINT64);
}
