import { run } from "./core/run.ts";
import { systemHost } from "./core/host.ts";

Deno.exit(await run(Deno.args, systemHost()));
