/** The files of `deploy/`, each by its published schema or by the program that will read it. */
import assert from "assert";
import { join, relative } from "node:path";
import { chooseTarget } from "../../core/targets.ts";
import { PROJECT } from "../../tasks/build.ts";
import { skipWhenMissing } from "../skip.ts";
import { linesIn, readLine } from "./command_lines.ts";
import {
  check,
  complaints,
  DEPLOY,
  hadolint,
  kubernetesComplaints,
  parseYaml,
  programMissing,
  readProject,
  type SchemaName,
  wheelsMissing,
} from "./validators.ts";

const noWheels = skipWhenMissing("the schemas of the files in deploy/", await wheelsMissing());

const BY_SCHEMA: [file: string, schema: SchemaName][] = [
  ["deploy/docker-compose.yml", "compose-spec"],
  ["deploy/moving/docker-compose.override.yml", "compose-spec"],
  ["deploy/ci/github-actions.yml", "github-workflows"],
  ["deploy/ci/gitlab-ci.yml", "gitlab-ci"],
];

for (const [file, schema] of BY_SCHEMA) {
  Deno.test({
    name: `${file}: is what ${schema} allows`,
    ignore: noWheels,
    async fn() {
      const [value, ...more] = parseYaml(await readProject(file));
      assert.deepEqual(more, []);
      assert.deepEqual(await complaints(schema, value), []);
      // A schema that allows everything would show nothing.
      const broken = { ...value as object, jobs: 3, services: 3, stages: 3 };
      assert.notDeepEqual(await complaints(schema, broken), []);
    },
  });
}

for await (const { name } of Deno.readDir(join(DEPLOY, "kubernetes"))) {
  Deno.test({
    name:
      `deploy/kubernetes/${name}: is what Kubernetes allows, with no field that it does not know`,
    ignore: noWheels,
    async fn() {
      const objects = parseYaml(await readProject(`deploy/kubernetes/${name}`));
      assert.ok(objects.length > 0);
      for (const object of objects) {
        assert.deepEqual(await kubernetesComplaints(object), []);
        assert.notDeepEqual(await kubernetesComplaints({ ...object as object, sepc: {} }), []);
      }
    },
  });
}

interface Pod {
  readonly securityContext: { readonly runAsNonRoot?: boolean };
  readonly containers: readonly {
    readonly args: readonly string[];
    readonly securityContext: { readonly readOnlyRootFilesystem?: boolean };
  }[];
}

/** The pods of an object, however deep. */
function podsOf(value: unknown): Pod[] {
  if (typeof value !== "object" || value === null) return [];
  if ("containers" in value) return [value as Pod];
  return Object.values(value).flatMap(podsOf);
}

Deno.test("deploy/kubernetes: containers run without root, write to no root, and do what there is", async () => {
  let count = 0;
  for await (const { name } of Deno.readDir(join(DEPLOY, "kubernetes"))) {
    for (const object of parseYaml(await readProject(`deploy/kubernetes/${name}`))) {
      for (const pod of podsOf(object)) {
        assert.equal(pod.securityContext.runAsNonRoot, true, name);
        for (const { args, securityContext } of pod.containers) {
          assert.equal(securityContext.readOnlyRootFilesystem, true, name);
          readLine(args);
          count++;
        }
      }
    }
  }
  assert.equal(count, 3);
});

Deno.test("deploy/kubernetes/fleet-job.yaml: has a pod for each of its targets, and each can be read", async () => {
  const [secret, job] = parseYaml(await readProject("deploy/kubernetes/fleet-job.yaml"));
  const text = (secret as { stringData: Record<string, string> }).stringData["fleet.txt"] ?? "";
  const { completions } = (job as { spec: { completions: number } }).spec;
  const names: string[] = [];
  for (let index = 0; index < completions; index++) {
    const { name, warnings } = await chooseTarget({
      file: "fleet.txt",
      index: undefined,
      env: { JOB_COMPLETION_INDEX: String(index) },
      cwd: "/",
      readTextFile: () => Promise.resolve(text),
    });
    assert.deepEqual(warnings, []);
    names.push(name);
  }
  assert.deepEqual(names, ["orders", "billing", "stock"]);
  const lines = text.split("\n").filter((line) => /^\s*[^#\s]/.test(line));
  assert.equal(lines.length, completions);
});

async function filesUnder(directory: string): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    const path = join(directory, entry.name);
    files.push(...entry.isDirectory ? await filesUnder(path) : [relative(PROJECT, path)]);
  }
  return files.sort();
}

/** The files that hold command lines, with how many there are at least. */
const WITH_LINES: Readonly<Record<string, number>> = {
  "deploy/README.md": 0,
  "deploy/ci/github-actions.yml": 10,
  "deploy/ci/gitlab-ci.yml": 10,
  "deploy/cron/observatory": 3,
  "deploy/cron/observatory.logrotate": 0,
  "deploy/docker-compose.yml": 1,
  "deploy/fleet/run-fleet.sh": 1,
  "deploy/image/defaults.env": 0,
  "deploy/kubernetes/backup-cronjob.yaml": 0,
  "deploy/kubernetes/fleet-job.yaml": 0,
  "deploy/kubernetes/migrate-job.yaml": 0,
  "deploy/moving/docker-compose.override.yml": 0,
  "deploy/systemd/observatory-backup.service": 1,
  "deploy/systemd/observatory-backup.timer": 0,
};

Deno.test("deploy: every command line is one that the program takes", async () => {
  const files = await filesUnder(DEPLOY);
  assert.deepEqual(files, Object.keys(WITH_LINES));
  for (const file of [...files, "docs/MOVING.md", "docs/DEPLOYMENT.md"]) {
    const lines = linesIn(await readProject(file));
    assert.ok(lines.length >= (WITH_LINES[file] ?? 4), `${file} has ${lines.length} lines`);
    for (const words of lines) {
      try {
        readLine(words);
      } catch (error) {
        throw new Error(`${file}: observatory ${words.join(" ")}`, { cause: error });
      }
    }
  }
});

Deno.test("command lines: what the program does not take is found", () => {
  const [first, second, third] = linesIn(
    "x: |\n  observatory backup --s3-onyl # why\n  observatory migrte\n" +
      "0 2 * * * u observatory backup --note 'a b' --if-locked skip >>/var/log/x 2>&1\n",
  );
  assert.throws(() => readLine(first ?? []), /Unknown flag --s3-onyl/);
  assert.throws(() => readLine(second ?? []), /migrte/);
  assert.deepEqual(third, ["backup", "--note", "a b", "--if-locked", "skip"]);
});

const noShellcheck = skipWhenMissing(
  "shellcheck of deploy/",
  await programMissing("shellcheck", "apt-get install shellcheck"),
);

Deno.test({
  name: "deploy: shell scripts pass shellcheck, those inside of YAML too",
  ignore: noShellcheck,
  async fn() {
    const scripts = (await filesUnder(DEPLOY)).filter((file) => file.endsWith(".sh"));
    assert.deepEqual(scripts, ["deploy/fleet/run-fleet.sh"]);
    const own = await check("shellcheck", [...scripts, ".ci/run"]);
    assert.equal(own.code, 0, own.text);
    let count = 0;
    for (const file of ["deploy/ci/github-actions.yml", "deploy/ci/gitlab-ci.yml"]) {
      for (const script of scriptsOf(parseYaml(await readProject(file)))) {
        // What the service puts in before the shell sees it.
        const stdin = script.replaceAll(/\$\{\{[^}]*\}\}/g, "value");
        const { code, text } = await check("shellcheck", ["--shell=sh", "-"], { stdin });
        assert.equal(code, 0, `${file}: ${script}\n${text}`);
        count++;
      }
    }
    assert.ok(count > 10, `${count} scripts`);
  },
});

/** The scripts of a workflow: `run` of GitHub, `script` of GitLab. */
function scriptsOf(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === "run" && typeof member === "string"
      ? [member]
      : key === "script" && Array.isArray(member)
      ? [member.map(String).join("\n")]
      : scriptsOf(member)
  );
}

const noCrontab = skipWhenMissing(
  "the syntax of deploy/cron/observatory",
  await programMissing("crontab", "apt-get install cron"),
);

Deno.test({
  name: "deploy/cron/observatory: cron reads it, and each line names a user",
  ignore: noCrontab,
  async fn() {
    const text = await readProject("deploy/cron/observatory");
    const fields = /^((?:[\d*/,-]+\s+){5})(\S+)(\s+observatory .*)$/gm;
    assert.equal([...text.matchAll(fields)].length, 3);
    for (const [, , user] of text.matchAll(fields)) assert.equal(user, "observatory");
    // A percent sign would end the line, as cron reads it.
    assert.doesNotMatch(text.replaceAll(/^#.*$/gm, ""), /%/);
    // crontab checks the tables of users, which name none.
    const plain = text.replaceAll(fields, "$1$3");
    const { code, text: said } = await check("crontab", ["-n", "-"], { stdin: plain });
    assert.equal(code, 0, said);
    const broken = await check("crontab", ["-n", "-"], { stdin: plain.replace("0 2", "0 42") });
    assert.notEqual(broken.code, 0);
  },
});

const noLogrotate = skipWhenMissing(
  "deploy/cron/observatory.logrotate",
  await programMissing("/usr/sbin/logrotate", "apt-get install logrotate"),
);

Deno.test({
  name: "deploy/cron/observatory.logrotate: logrotate reads it",
  ignore: noLogrotate || Deno.uid() !== 0,
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      const text = (await readProject("deploy/cron/observatory.logrotate"))
        .replace("su observatory observatory", "su root root")
        .replace("0640 observatory observatory", "0640 root root")
        .replace("/var/log/observatory/", `${directory}/`);
      await Deno.writeTextFile(join(directory, "backup.log"), "a line\n");
      await Deno.chmod(directory, 0o755);
      const config = join(directory, "config");
      await Deno.writeTextFile(config, text);
      await Deno.chmod(config, 0o644);
      const { code, text: said } = await check("/usr/sbin/logrotate", [
        ...["--force", "--state", join(directory, "state")],
        config,
      ]);
      assert.deepEqual([code, said], [0, ""]);
      const names = Array.from(Deno.readDirSync(directory), ({ name }) => name).sort();
      assert.deepEqual(names, ["backup.log", "backup.log.1", "config", "state"]);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

const noSystemd = skipWhenMissing(
  "deploy/systemd",
  await programMissing("systemd-analyze", "apt-get install systemd"),
);

Deno.test({
  name: "deploy/systemd: systemd reads the units, and the service is confined",
  ignore: noSystemd,
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      const names = ["observatory-backup.service", "observatory-backup.timer"];
      for (const name of names) {
        const text = await readProject(`deploy/systemd/${name}`);
        // The program need not be installed here.
        await Deno.writeTextFile(
          join(directory, name),
          text.replaceAll("/usr/local/bin/observatory", "/bin/true"),
        );
      }
      const units = names.map((name) => join(directory, name));
      const { code, text } = await check("systemd-analyze", ["verify", "--man=no", ...units]);
      assert.deepEqual([code, text], [0, ""]);
      const security = await check("systemd-analyze", [
        ...["security", "--offline=yes", "--threshold=20", "--no-pager"],
        units[0] ?? "",
      ]);
      assert.equal(security.code, 0, security.text);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});

Deno.test({
  name: "Dockerfile: passes hadolint",
  ignore: noWheels,
  async fn() {
    const { code, text } = await check(await hadolint(), ["--no-color", "Dockerfile"]);
    assert.deepEqual([code, text], [0, ""]);
  },
});

Deno.test("Dockerfile: what it copies is there, and not kept from it", async () => {
  const text = await readProject("Dockerfile");
  const ignored = (await readProject(".dockerignore")).split("\n")
    .filter((line) => line.startsWith("!")).map((line) => line.slice(1));
  for (const path of ignored.filter((path) => path !== "dist/observatory")) {
    await Deno.stat(join(PROJECT, path));
  }
  const copied: string[] = [...text.matchAll(/^COPY (?:--chmod=\S+ )?([^\s-]\S*) /gm)].map((
    [, path = ""],
  ) => path);
  assert.deepEqual(copied.toSorted(), [
    ".",
    "LICENSE",
    "deploy/image/defaults.env",
    "dist/observatory",
  ]);
  for (const path of copied) {
    assert.ok(
      path === "." || ignored.some((kept) => path === kept || path.startsWith(`${kept}/`)),
      path,
    );
  }
});

Deno.test("deploy/image/defaults.env: has the manual's defaults, and makes a valid configuration", async () => {
  const text = await readProject("deploy/image/defaults.env");
  const manual: Record<string, string> = {
    DB_HOST: "timescaledb",
    DB_PORT: "5432",
    DB_NAME: "llm_observatory",
    DB_USER: "postgres",
    DB_PASSWORD: "postgres",
    MIGRATIONS_DIR: "/app/migrations",
    SCRIPTS_DIR: "/app/scripts",
    BACKUPS_DIR: "/app/backups",
    DATA_DIR: "/app/data",
    SEEDS_DIR: "/app/seeds",
    PLUGINS_DIR: "/app/plugins",
  };
  const given = Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
  assert.deepEqual(given, manual);
  const dockerfile = await readProject("Dockerfile");
  for (const path of Object.values(manual).filter((value) => value.startsWith("/app/"))) {
    assert.ok(dockerfile.includes(path), `${path} is not made by the Dockerfile`);
  }
});
