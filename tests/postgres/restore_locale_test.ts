/** A database whose texts ICU orders: a new one made for its backup orders them alike. */
import assert from "assert";
import { clientToolsMissing, openDatabase, sharedServer, uniqueName } from "../database.ts";
import { restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";

/** Orders "Ä" as "AE", which no usual locale does. */
const PHONE_BOOK = "de-u-co-phonebk";

const server = await sharedServer();
const admin = openDatabase(server, "postgres");

async function missing(): Promise<string | undefined> {
  const [row] = await admin.query<{ icu: boolean }>(
    "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS icu",
  );
  return await clientToolsMissing() ??
    (row?.icu === true ? undefined : "the server was built without ICU");
}

Deno.test({
  name: "restore --create: the new database has the locale of ICU that the old one had",
  ignore: skipWhenMissing("restores of databases with ICU", await missing()),
  async fn() {
    const name = uniqueName();
    await admin.query(
      `CREATE DATABASE "${name}" TEMPLATE template0 ENCODING UTF8
         LOCALE_PROVIDER icu ICU_LOCALE '${PHONE_BOOK}'`,
    );
    await using site = await restoreSite(openDatabase(server, name));
    const { source } = site;
    await source.query("CREATE TABLE word AS SELECT unnest(array['Ad', 'Ä', 'Af']) AS word");
    const { id, source: { locale } } = await site.backup();
    assert.deepEqual(locale, { provider: "icu", name: PHONE_BOOK, rules: null });
    const target = await site.absent();
    await site.restore(target, [id, "--create"]);
    for (const database of [source, target]) {
      const rows = await database.query<{ word: string }>("SELECT word FROM word ORDER BY 1");
      assert.deepEqual(rows.map(({ word }) => word), ["Ad", "Ä", "Af"], database.name);
    }
  },
});
