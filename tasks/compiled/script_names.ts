/** In which script a module is: as the build puts it there, and the program looks for it. */

/** What most runs load; whatever else, each folder is a script. */
export const START_SCRIPT = "start";

/** The name of the script with the modules of the same folder, such as `plugins-backup`. */
export function scriptOf(path: string): string {
  return path.slice(path.indexOf(":") + 1, path.lastIndexOf("/")).replaceAll("/", "-");
}
