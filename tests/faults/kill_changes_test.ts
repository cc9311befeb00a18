/**
 * Our process killed between any two changes of the disk: of a backup, and of the pruning and the
 * collection after it.
 */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";
import { DAY } from "../../plugins/repository/times.ts";
import { frozenAfter } from "./frozen.ts";
import { makeSite, type Site } from "./site.ts";

const ignore = skipWhenMissing("kills between changes of the disk", await clientToolsMissing());

const SMALL = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 10)";

for (
  const { args, links = true } of [
    { args: ["--format=custom", "--globals"] },
    { args: ["--format=directory", "--jobs=2"] },
    { args: ["--format=plain", "--compress"], links: false },
  ]
) {
  Deno.test({
    name: `kill -9: between any two changes of a disk ${links ? "with" : "without"} links, ` +
      args.join(" "),
    ignore,
    async fn() {
      await using site = await makeSite({ sql: SMALL });
      const good = await site.good();
      const moments: string[] = [];
      for (let after = 0;; after++) {
        const { frozen, at } = await frozenAfter(
          after,
          { below: site.directory, links },
          () => site.inside(["backup", "--no-prune", ...args]),
        );
        moments.push(
          at?.replace(/ .*_\d{6}(?=[./])/, " ").replace(/\.\w{8}\.partial/, ".N.partial") ?? "end",
        );
        const what = `after ${after} changes, before: ${at}`;
        const ids = await site.requireCollected().catch((error) => {
          throw new Error(what, { cause: error });
        });
        assert.equal(ids.at(-1), good, what);
        for (const id of ids.slice(0, -1)) await remove(site, id);
        if (!frozen) break;
      }
      assert(moments.length > 15, moments.join("\n"));
    },
  });
}

for (const links of [true, false]) {
  Deno.test({
    name: `kill -9: between any two changes of a disk ${links ? "with" : "without"} links, ` +
      "while old backups are pruned and another is verified",
    ignore,
    async fn() {
      await using site = await makeSite({ sql: SMALL });
      const keep = { env: { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" } };
      // What is pruned is copied back each time: making it takes a second.
      const old = [await site.good(["--format=directory"]), await site.good(["--globals"])];
      const [, newest = ""] = old;
      const store = `${site.directory}/kept`;
      await copy(site.backups, store);
      const disk = { below: site.backups, links };
      const prune = async () => {
        await site.inside(["backup", "prune"], keep);
        return await site.inside(["backup", "verify", newest]);
      };
      for (let after = 0;; after++) {
        await copy(store, site.backups);
        const { frozen, at } = await frozenAfter(after, disk, prune);
        const ids = await site.requireSound({ pruned: true });
        assert.equal(ids[0], newest, at ?? "end");
        await site.requireCollected({ pruned: true });
        // What a collection that is killed leaves, the next one takes.
        await copy(store, site.backups);
        await frozenAfter(after, disk, prune);
        await frozenAfter(
          after % 5,
          disk,
          () => site.inside(["backup", "gc"], { now: () => Date.now() + 2 * DAY }),
        );
        await site.requireCollected({ pruned: true });
        // Nothing of it is in the way of the next pruning.
        assert.equal((await prune()).code, 0);
        assert.deepEqual(await site.listed(), [newest], at ?? "end");
        if (!frozen) break;
        assert(after < 100);
      }
    },
  });
}

async function remove(site: Site, id: string): Promise<void> {
  site.forget(id);
  for await (const { name } of Deno.readDir(site.backups)) {
    if (name.startsWith(id)) await Deno.remove(`${site.backups}/${name}`, { recursive: true });
  }
}

/** Makes a directory hold what another one does. */
async function copy(from: string, to: string): Promise<void> {
  await Deno.remove(to, { recursive: true }).catch(() => {});
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}
