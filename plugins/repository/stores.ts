/** How a command opens the places where backups are kept. */
import type { Context } from "../../core/plugin.ts";
import { localStore } from "./local_store.ts";
import { namesBucket } from "./s3_settings.ts";
import type { Store } from "./store.ts";

/** Where a command looks. */
export interface Places {
  /** By default in the directory, and in the bucket when one is set. */
  readonly where?: Store["kind"] | undefined;
  /** The directory instead of `BACKUPS_DIR`. */
  readonly directory?: string | undefined;
  /** The address of the S3 service instead of `AWS_ENDPOINT_URL_S3`. */
  readonly endpointUrl?: string | undefined;
}

/**
 * Opens the places that are asked for, the directory first, for as long as `work` takes.
 *
 * @throws OperationError of kind `usage` when the bucket is asked for and none is set
 */
export async function withStores<T>(
  context: Surroundings,
  places: Places,
  work: (stores: readonly Store[]) => Promise<T>,
): Promise<T> {
  const stores: Store[] = [];
  try {
    for (const where of wanted(context, places)) {
      stores.push(await openStore(context, { ...places, where }));
    }
    return await work(stores);
  } finally {
    for (const store of stores) store.close?.();
  }
}

function wanted({ config }: Surroundings, { where }: Places): Store["kind"][] {
  if (where !== undefined) return [where];
  return namesBucket(config) ? ["local", "s3"] : ["local"];
}

/**
 * Opens one place.
 *
 * @throws OperationError of kind `usage` when the bucket is asked for and none is set
 */
export async function openStore(
  context: Surroundings,
  { where, directory, endpointUrl }: Places & { readonly where: Store["kind"] },
): Promise<Store> {
  const { config, files } = context;
  if (where === "local") return localStore(files, directory ?? directoryOf(config));
  const { openS3Place } = await import("./s3_place.ts");
  return await openS3Place(context, { endpointUrl });
}

type Surroundings = Pick<Context, "files" | "config" | "log" | "signal">;

/** The directory where backups are kept when no other one is asked for. */
export function directoryOf(config: Pick<Context["config"], "get">): string {
  return config.get("BACKUPS_DIR") ?? "./backups";
}
