/** The way to the server breaks off while a restore runs. */
import assert from "assert";
import { connect, createServer, type Socket } from "node:net";
import { clientToolsMissing } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeRestoreFaults } from "./restore_site.ts";
import { prepareSteps, STEPS } from "./restore_steps.ts";

const ignore = skipWhenMissing("connections that break off", await clientToolsMissing());

/** A way to a server that can be cut. */
interface Way extends AsyncDisposable {
  readonly port: number;
  /** Breaks off what is connected; what comes later gets through, unless it stays cut. */
  cut(): void;
}

async function wayTo(address: { readonly host: string; readonly port: number }): Promise<Way> {
  const open = new Set<Socket>();
  const cut = () => open.forEach((socket) => socket.destroy());
  const listener = createServer((near) => {
    const far = connect(address.port, address.host);
    for (const [from, to] of [[near, far], [far, near]] as const) {
      open.add(from);
      from.on("error", () => {}).on("close", () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const bound = listener.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : 0,
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

Deno.test({
  name: "restore: the connections break off at every step",
  ignore,
  async fn() {
    await using faults = await makeRestoreFaults();
    const { shim: made, ids } = await prepareSteps(faults);
    await using shim = made;
    await using way = await wayTo(faults.server);
    const url = new URL(faults.target.url);
    url.port = String(way.port);
    for (const step of STEPS.filter(({ name }) => /middle|locked|names|after/.test(name))) {
      const { name, mode, form, args = [], half } = step;
      const what = `${name}, ${mode}`;
      await faults.reset(mode);
      const held = await step.hold({ faults, shim });
      const running = faults.inside(mode, [ids[form], ...args], {
        env: { ...held.env, DATABASE_URL: url.href },
      });
      await held.reached();
      way.cut();
      await held.release();
      const { code, stdout, stderr } = await running;
      // What needs no connection any more does not notice.
      if (code === 0) assert.equal(name, "after pg_restore", `${what}: ${stderr}`);
      else {
        assert([1, 5].includes(code), `${what}: ${code} ${stderr}`);
        assert.equal(stdout, "", what);
        assert.match(stderr, /^\[ERROR\] /m, what);
      }
      assert.doesNotMatch(stderr, /bug/, what);
      await faults.untilGone();
      await faults.requireOldOrNew(mode, {
        code,
        what: `${what}: ${stderr}`,
        ...half === undefined ? {} : { half },
      });
      if (half === true || mode !== "clean") await faults.reset(mode);
      await faults.requireRecovered(mode, [ids.custom], what);
    }
  },
});
