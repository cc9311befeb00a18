/** The plugins of users. */
import type { PluginStatus } from "../../core/plugin.ts";
import type { Check, Finding, Subject } from "./check.ts";

/**
 * Whether every plugin can be used, and whether the role lets them out of their sandbox. They are
 * told of without a server, too.
 */
export const plugins: Check = {
  needs: "nothing",
  async run(subject: Subject) {
    const all = await subject.context.plugins.list();
    const users = all.filter(({ source }) => source !== "built-in");
    const broken = users.filter(({ status }) => status !== "ok");
    const details = {
      plugins: users.map(({ name, path, status, reason }) => ({ name, path, status, reason })),
    };
    if (broken.length > 0) return { ...brokenFinding(broken), details };
    if (users.length === 0) return { status: "ok", message: "None besides the built-in ones" };
    const names = users.map(({ name }) => name).join(", ");
    if (await isSuperuser(subject)) {
      return {
        status: "warning",
        message:
          `All can be used (${names}), but the role is a superuser, whose SQL leads out of ` +
          "their sandbox (COPY … TO PROGRAM)",
        remedy: "Connect as a role that is no superuser",
        details: { ...details, superuser: true },
      };
    }
    return { status: "ok", message: `All can be used: ${names}`, details };
  },
};

/** Names that are taken hinder somebody, but not what destroys. */
function brokenFinding(broken: readonly PluginStatus[]): Finding {
  const failed = broken.filter(({ status }) => status !== "clash");
  const hints = broken.flatMap(({ hint }) => hint ?? []);
  return {
    status: failed.length > 0 ? "failed" : "warning",
    message: broken.map(({ name, reason }) => `"${name}": ${reason}`).join("; "),
    remedy: [...new Set(hints), "`observatory plugin list` tells more"].join("\n"),
  };
}

async function isSuperuser({ reach }: Subject): Promise<boolean> {
  const { server } = await reach();
  if (server === undefined) return false;
  const { rows: [row] } = await server.session.query<{ super: boolean }>(
    "SELECT rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname = current_user",
  );
  return row?.super === true;
}
