/** Installs Debian packages non-interactively: as root, or with passwordless sudo. */

type RunCommand = (command: string, args: readonly string[], show: boolean) => Promise<boolean>;

/** The command prefix that gives `apt-get` root; null if that needs a password. */
export async function rootPrefix(userId: number | null, run: RunCommand): Promise<readonly string[] | null> {
  if (userId === 0) return [];
  return await run("sudo", ["-n", "true"], false) ? ["sudo", "-n"] : null;
}

/**
 * Installs packages. Refreshes the package lists if there are none, or if the first attempt fails because they are stale.
 * @returns whether apt-get succeeded
 */
export async function aptInstall(
  packages: readonly string[],
  prefix: readonly string[],
  haveLists: boolean,
  run: RunCommand,
): Promise<boolean> {
  const apt = (...args: string[]) => {
    const [command, ...rest] = [...prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", ...args];
    return run(command!, rest, true);
  };
  const install = () => apt("install", "-y", "--no-install-recommends", ...packages);
  if (haveLists && await install()) return true;
  await apt("update");
  return await install();
}

/** Whether apt has package lists; a fresh container has none. */
export function haveAptLists(folder = "/var/lib/apt/lists"): boolean {
  try {
    return [...Deno.readDirSync(folder)].some((entry) => entry.isFile && entry.name.includes("_Packages"));
  } catch {
    return false;
  }
}

/** Runs a command; `show` passes its output to stderr. A missing command counts as a failed one. */
export const runCommand: RunCommand = async (command, args, show) => {
  try {
    const child = new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: show ? "piped" : "null",
      stderr: show ? "inherit" : "null",
    }).spawn();
    // stdout belongs to the program that runs set-up.
    if (show) await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
    return (await child.status).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
};
