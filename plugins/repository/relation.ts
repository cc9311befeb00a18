/** A table, or what else a pattern of tables stands for. */
import { identifier } from "../sql/names.ts";

/** One relation of the catalogue. */
export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
}

/** Its name as SQL writes it. */
export function quoted({ schema, name }: Relation): string {
  return `${identifier(schema)}.${identifier(name)}`;
}

/** Their object identifiers as an array's text. */
export function oids(relations: readonly Relation[]): string {
  return `{${relations.map(({ oid }) => oid).join(",")}}`;
}
