import assert from "assert";
import { passesFor, planPasses } from "../../plugins/restore/passes.ts";
import { isMadeBefore, usesTimescale } from "../../plugins/restore/timescale.ts";
import { refuseHypertables } from "../../plugins/restore/timescale_tables.ts";

/** Entries of a table of contents: `SECTION KIND SCHEMA.TAG`, each with an id of its own. */
function entriesOf(...lines: readonly string[]) {
  return lines.map((line, index) => {
    const [, section = "", kind = "", schema = "", tag = "", dependencies = ""] =
      /^(\S+) ([A-Z ]+) (\w*)\.(.+?)(?: after ([\d,]+))?$/.exec(line) ?? [];
    return {
      id: index + 1,
      section: section === "pre" || section === "post" ? `${section}-data` as const : none(section),
      kind,
      schema,
      tag,
      owner: "owner",
      dependencies: dependencies === "" ? [] : dependencies.split(",").map(Number),
    };
  });
}

function none(section: string): "none" | "data" {
  return section === "data" ? "data" : "none";
}

const HYPERTABLES = entriesOf(
  "pre SCHEMA .ext",
  "pre EXTENSION .timescaledb",
  "none COMMENT .EXTENSION timescaledb",
  "pre TABLE public.logs",
  "none ACL public.TABLE logs",
  "pre TABLE _timescaledb_internal._hyper_1_1_chunk after 4",
  "pre TABLE _timescaledb_internal._materialized_hypertable_2",
  "pre VIEW public.daily after 7",
  "pre TABLE public.plain",
  "data TABLE DATA _timescaledb_catalog.hypertable",
  "data TABLE DATA _timescaledb_config.bgw_job",
  "data TABLE DATA _timescaledb_internal._hyper_1_1_chunk",
  "data TABLE DATA public.plain",
  "data SEQUENCE SET _timescaledb_catalog.chunk_id_seq",
  "data SEQUENCE SET public.plain_id_seq",
  "post INDEX public.plain_n",
  "none COMMENT public.INDEX plain_n",
  "post TRIGGER public.empty ts_insert_blocker",
);

Deno.test("passesFor: each entry once, TimescaleDB's catalogue by one process, comments behind what they are of", () => {
  const passes = passesFor({ entries: HYPERTABLES });
  const ids = passes.map((pass) =>
    HYPERTABLES.filter((entry) => pass.keep(entry)).map(({ id }) => id)
  );
  assert.deepEqual(ids, [
    [1, 2, 3, 4, 6, 7, 8, 9],
    [10, 11, 14],
    [12, 13, 15],
    [5, 16, 17, 18],
  ]);
  assert.deepEqual(passes.map(({ parallel }) => parallel), [false, false, true, true]);
  assert.deepEqual(passes.map(({ triggers }) => triggers), [false, true, false, false]);
  const plain = entriesOf("pre TABLE public.plain", "data TABLE DATA public.plain");
  assert.equal(passesFor({ entries: plain }).length, 1);
});

const PARTITIONS = entriesOf(
  "pre TABLE public.logs",
  "none ACL public.TABLE logs",
  "pre TABLE public.logs_1",
  "data TABLE DATA public.logs_1 after 3",
  "post CONSTRAINT public.logs logs_pkey after 1",
  "post CONSTRAINT public.logs_1 logs_1_pkey after 3",
  "none COMMENT public.CONSTRAINT logs_1_pkey ON logs_1 after 6",
  "post INDEX ATTACH public.logs_1_pkey after 5,6",
  "post FUNCTION public.by_key() after 5",
  "post INDEX public.days_by_key after 9",
  "post INDEX public.days_n",
  "post INDEX ATTACH public.days_1_by_key after 10",
  "post FK CONSTRAINT public.seen seen_fkey after 8",
  "post TRIGGER public.logs touched after 1",
);

Deno.test("planPasses: indexes of partitions are attached by one process, what needs them comes behind", () => {
  const ids = (entries: typeof PARTITIONS, parts: "all" | "data" = "all", clean = false) => {
    const plan = planPasses({ entries }, { jobs: 4, clean, parts });
    return plan.passes.map(({ keep, parallel }) => [
      entries.filter((entry) => keep(entry)).map(({ id }) => id).join(),
      parallel ? plan.jobs : 1,
    ]);
  };
  const all = (entries: typeof PARTITIONS) => entries.map(({ id }) => id).join();
  assert.deepEqual(ids(PARTITIONS), [["1,3,4,5,6,7,11", 4], ["8", 1], ["2,9,10,12,13,14", 4]]);
  assert.deepEqual(ids(PARTITIONS, "data"), [[all(PARTITIONS), 4]]);
  // What is dropped first is dropped by one call.
  assert.deepEqual(ids(PARTITIONS, "all", true), [[all(PARTITIONS), 4]]);
  assert.deepEqual(ids(HYPERTABLES, "all", true), [[all(HYPERTABLES), 1]]);
  const both = [...HYPERTABLES, ...entriesOf("post INDEX ATTACH public.a", "post TRIGGER public.b")]
    .map((entry, index) => ({ ...entry, id: index + 1 }));
  assert.deepEqual(ids(both).slice(3), [["16,17", 4], ["19", 1], ["5,18,20", 4]]);
});

Deno.test("usesTimescale: the table of contents decides, and tells the extension's schema", () => {
  const [schema, extension, ...others] = HYPERTABLES;
  const archive = (definition: string) => ({
    entries: [schema, extension && { ...extension, definition }, ...others].flatMap((each) =>
      each ?? []
    ),
  });
  assert.deepEqual(
    usesTimescale(archive("CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA ext;\n"), null),
    { version: null, schema: "ext", schemaOwner: "owner" },
  );
  assert.deepEqual(
    usesTimescale(archive('CREATE EXTENSION x WITH SCHEMA "a ""b""";'), null),
    { version: null, schema: 'a "b"', schemaOwner: null },
  );
  assert.equal(usesTimescale({ entries: entriesOf("pre TABLE public.plain") }, null), undefined);
  assert.equal(usesTimescale(null, null), undefined);
  const made = HYPERTABLES.filter((entry) => isMadeBefore(entry, { schema: "ext" }));
  assert.deepEqual(made.map(({ id }) => id), [1, 2]);
});

Deno.test("refuseHypertables: hypertables, chunks and continuous aggregates, and no other table", () => {
  const archive = { entries: HYPERTABLES };
  const refused = (id: number) => {
    const chosen = HYPERTABLES.filter((entry) => entry.id === id);
    try {
      refuseHypertables(archive, { manifest: null, chosen });
    } catch (error) {
      return error instanceof Error ? error.message.slice(0, 90) : "";
    }
    return undefined;
  };
  assert.match(refused(4) ?? "", /^Cannot restore by table: public\.logs cannot /);
  assert.match(refused(8) ?? "", /public\.daily/);
  assert.match(refused(6) ?? "", /_hyper_1_1_chunk/);
  assert.equal(refused(9), undefined);
  // Without a chunk, by the trigger that old versions give every hypertable.
  const empty = { ...HYPERTABLES[8], id: 99, kind: "TABLE", tag: "empty", schema: "public" };
  assert.throws(
    () => refuseHypertables(archive, { manifest: null, chosen: [{ ...empty, dependencies: [] }] }),
    { kind: "refused", code: "hypertables" },
  );
});
