/** The scripts of the CI examples, run as they stand: on an empty database, then on one that is used. */
import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { directoryWith } from "../cli/project.ts";
import { clientToolsMissing, openDatabase, sharedServer, uniqueName } from "../database.ts";
import { kinds, programOf } from "../program.ts";
import { freshBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { check, parseYaml, readProject } from "./validators.ts";

interface GitHubJob {
  readonly steps: readonly { readonly run?: string }[];
}
interface GitLabJob {
  readonly script: readonly string[];
}

/** The scripts of a job, in their order; what the service would put in is put in. */
async function scriptsOf(file: string, job: string): Promise<string[]> {
  const [workflow] = parseYaml(await readProject(file));
  const scripts = file.endsWith("github-actions.yml")
    ? (workflow as { jobs: Record<string, GitHubJob> }).jobs[job]?.steps.flatMap(({ run }) =>
      run ?? []
    )
    : (workflow as Record<string, GitLabJob>)[job]?.script;
  assert.ok(scripts !== undefined && scripts.length > 0, `${file} has no job ${job}`);
  return scripts.map((script) => script.replaceAll(/\$\{\{[^}]*\}\}/g, "0123abc"));
}

const ignore = skipWhenMissing("the scripts of the CI examples", await clientToolsMissing());

for (
  const [file, jobs] of [
    ["deploy/ci/github-actions.yml", ["try", "deploy"]],
    ["deploy/ci/gitlab-ci.yml", ["try", "migrate"]],
  ] as const
) {
  Deno.test({
    name: `${file}: its scripts work, on an empty database and on one that is used`,
    ignore,
    async fn() {
      const { command, env } = await programOf(kinds.at(-1) ?? "sources");
      const server = await sharedServer();
      await using bucket = await freshBucket();
      await using database = openDatabase(server, uniqueName("ci"));
      await using directory = await directoryWith({
        "bin/observatory": `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`,
      });
      await Deno.chmod(join(directory.path, "bin/observatory"), 0o755);
      const variables = {
        ...env,
        ...bucket.env,
        PATH: `${directory.path}/bin:${Deno.env.get("PATH")}`,
        DATABASE_URL: database.url,
        MIGRATIONS_DIR: join(PROJECT, "migrations"),
        SEEDS_DIR: join(PROJECT, "seeds"),
        CI_COMMIT_SHORT_SHA: "0123abc",
      };
      for (const job of jobs) {
        for (const script of await scriptsOf(file, job)) {
          const { code, text } = await check("env", [
            ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
            ...["sh", "-e", "-c", script],
          ], { cwd: directory.path });
          assert.equal(code, 0, `${job}: ${script}\n${text}`);
        }
      }
      const notes = await Array.fromAsync(
        await bucket.objects(),
        async ({ key }) =>
          key.endsWith(".manifest.json")
            ? JSON.parse(new TextDecoder().decode((await bucket.read(key)).bytes)).note
            : undefined,
      );
      assert.ok(notes.includes("before 0123abc"), notes.join());
    },
  });
}
