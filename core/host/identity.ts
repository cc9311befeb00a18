/** Who runs the program, and where. */
import { userInfo } from "node:os";
import type { HostIdentity } from "../host.ts";

/** Asks the system. */
export function identity(): HostIdentity {
  return { user: userName(), hostname: Deno.hostname(), pid: Deno.pid };
}

/** Users of containers often have a number alone. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${Deno.uid() ?? "unknown"}`;
  }
}
