/** What says what was done to a database: it is no content of its users. */

/** Where this program keeps its own state, which its runs change by themselves. */
export const OWN_SCHEMA = "observatory";

/** sqlx's table of what is applied, which a restore of rows alone leaves as it is. */
export const HISTORY = "_sqlx_migrations";
