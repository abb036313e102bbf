/** Installs Debian packages where that needs no questions: as root, or with sudo that asks for no password. */

export type RunCommand = (command: string, args: readonly string[], show: boolean) => Promise<boolean>;

/** The words before `apt-get` that give it root, or null where nothing does without a password. */
export async function rootPrefix(userId: number | null, run: RunCommand): Promise<readonly string[] | null> {
  if (userId === 0) return [];
  return await run("sudo", ["-n", "true"], false) ? ["sudo", "-n"] : null;
}

/**
 * Installs packages; refreshes the package lists first where there are none, and once more where the lists turn out
 * to be stale.
 * @returns whether apt-get says that they are installed
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

/** Whether apt has package lists at all: a fresh container has none. */
export function haveAptLists(folder = "/var/lib/apt/lists"): boolean {
  try {
    return [...Deno.readDirSync(folder)].some((entry) => entry.isFile && entry.name.includes("_Packages"));
  } catch {
    return false;
  }
}

/** Runs a command; `show` lets its output through to stderr. A command that does not exist fails like any other. */
export const runCommand: RunCommand = async (command, args, show) => {
  try {
    const child = new Deno.Command(command, {
      args: [...args],
      stdin: "null",
      stdout: show ? "piped" : "null",
      stderr: show ? "inherit" : "null",
    }).spawn();
    // Our own stdout belongs to the program that set-up is a part of.
    if (show) await child.stdout.pipeTo(Deno.stderr.writable, { preventClose: true });
    return (await child.status).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
};
