/** The addresses of a host's name. */
import { connect } from "node:net";
import type { HostAddress } from "./connection_parameters.ts";

/**
 * The first address of a name at which somebody takes connections, found by trying them all. The
 * names are left to node's sockets, since its own function for them warns of a deprecation of its
 * own on stderr in some versions of the runtime.
 *
 * @returns undefined when nobody does within the time
 */
export function answeringAddress(
  { host, port }: HostAddress,
  seconds: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(), seconds * 1000);
    socket.once("connect", () => {
      resolve(socket.remoteAddress);
      socket.destroy();
    });
    // The reason is known already, from the attempt before.
    socket.once("error", () => socket.destroy());
    socket.once("close", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
  });
}
