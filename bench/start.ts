/** How long the program takes to start, beside the floor of its form and its peers. */
import { measure, report, type Subject } from "./measure.ts";
import type { Bench } from "./subjects.ts";

/** `--version` and `--help`: the aim is at most 1.2 times a bare compiled program. */
export async function startSuite(bench: Bench): Promise<void> {
  const subjects: Subject[] = [
    { name: "bare compiled Deno program", command: [bench.bare] },
    { name: "observatory --version", command: [bench.observatory, "--version"] },
    { name: "observatory help", command: [bench.observatory, "help"] },
    { name: "psql --version", command: [bench.psql, "--version"] },
  ];
  if (bench.dbmate !== undefined) {
    subjects.push({ name: "dbmate --version", command: [bench.dbmate, "--version"] });
  }
  if (bench.sqlx !== undefined) {
    subjects.push({ name: "sqlx --version", command: [bench.sqlx, "--version"] });
  }
  report("Start (limit for --version: 1.2)", await measure(subjects, 21));
}
