/** Names of the torture schema that need care wherever they are written. */

/** The roles that the schema speaks of; they belong to the server, so each test has its own. */
export interface TortureRoles {
  /** Owns schemas and tables. */
  readonly owner: string;
  /** May read some of it. */
  readonly reader: string;
  /** Has a name that needs care. */
  readonly odd: string;
}

/** An SQL name in quotes. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** An SQL string. */
export function literal(text: string): string {
  return `E'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`;
}

/** What makes a name hard to write: quotes, ends of statements and lines, backslashes, signs of psql. */
const HARD = `"q"; '$1' \\. %s 😀\n:x`;

/** Names as SQL writes them. */
export const odd = {
  schema: quoted(`Schema ${HARD}`),
  table: quoted(`Table ${HARD}\nDROP TABLE people;\n\\connect x`),
  partition: quoted(`Partition ${HARD}`),
  column: quoted(`Column ${HARD}`),
  sequence: quoted(`Sequence ${HARD}`),
  index: quoted(`Index ${HARD}`),
  constraint: quoted(`Constraint ${HARD}`),
  function: quoted(`Function ${HARD}`),
  view: quoted(`View ${HARD}`),
  type: quoted(`Type ${HARD}`),
  trigger: quoted(`Trigger ${HARD}`),
  policy: quoted(`Policy ${HARD}`),
  publication: quoted(`Publication ${HARD}`),
  server: quoted(`Server ${HARD}`),
  comment: literal(`Comment ${HARD}`),
} as const;
