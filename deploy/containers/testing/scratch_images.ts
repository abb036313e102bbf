/**
 * The images without their builder: each stage of the Containerfile becomes a folder that holds what its instructions put there and
 * nothing else. Base, packages, Deno and nats-server are this machine's. An instruction that has no stand-in is an error, so
 * that the folders stay what the images are.
 */
import { basename, join } from "@std/path";
import { contextFiles, parseIgnore } from "./build_context.ts";
import { inheritedBy, type Instruction, parseStages, type Stage } from "./containerfile.ts";
import { copyTree, exists } from "./copy_tree.ts";
import { installModules } from "./deno_cache.ts";
import { copyEssential, copyInto, copyLibraries, copyPackage } from "./host_packages.ts";

export interface ScratchSources {
  readonly containerfile: string;
  /** The text of .dockerignore. */
  readonly ignored: string;
  /** What the build copies from. */
  readonly context: string;
  /** What stands in for a file of another image: "/nats-server" → a path of this machine. */
  readonly binaries: Readonly<Record<string, string>>;
  /** Where modules are put, whichever image is to see them. */
  readonly modules: string;
  /** Packages that are left out, as if the Containerfile did not name them. */
  readonly without?: readonly string[];
}

export interface ScratchImage {
  readonly root: string;
  readonly folder: string;
  /** Folders that are mounted, because copies of thousands of modules take long: where they are, and where they are seen. */
  readonly mounts: Readonly<Record<string, string>>;
  /** "uid:gid". */
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entry: readonly string[];
  readonly health: readonly string[];
}

/** Keeps what it has built below `folder`. */
export class ScratchImages {
  readonly #folder: string;
  readonly #sources: ScratchSources;
  readonly #stages: readonly Stage[];
  readonly #isIgnored: (path: string) => boolean;
  readonly #built = new Map<string, string>();

  constructor(folder: string, sources: ScratchSources) {
    this.#folder = folder;
    this.#sources = sources;
    this.#stages = parseStages(sources.containerfile);
    this.#isIgnored = parseIgnore(sources.ignored);
  }

  /** @throws Error for an instruction without a stand-in, and for a module that is not copied */
  image(name: string): ScratchImage {
    const root = this.#build(name);
    const all = inheritedBy(this.#stages, name);
    const last = (kind: string) => all.findLast((one) => one.name === kind)?.text ?? "";
    const words = (text: string): readonly string[] => JSON.parse(text.slice(text.indexOf("[")));
    const entry = words(last("ENTRYPOINT"));
    const hasInit = exists(join(root, "usr/bin", entry[0]!));
    const env = { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: homeIn(all), ...variablesIn(all) };
    const modules = modulesOf(root, env);
    return {
      root,
      mounts: exists(modules) ? { [this.#sources.modules]: modules } : {},
      folder: last("WORKDIR"),
      user: last("USER"),
      env,
      // Where this machine has no tini, signals go to the program itself.
      entry: hasInit ? entry : entry.slice(entry.indexOf("--") + 1),
      health: words(last("HEALTHCHECK")),
    };
  }

  /** Its folder. */
  #build(name: string): string {
    const known = this.#built.get(name);
    if (known !== undefined) return known;
    const root = join(this.#folder, name);
    this.#built.set(name, root);
    const stage = this.#stages.find((stage) => stage.name === name);
    if (stage === undefined) throw new Error(`the Containerfile has no stage ${name}`);
    if (this.#stages.some(({ name }) => name === stage.from)) {
      copyTree(this.#build(stage.from), root, Deno.linkSync);
    } else layBase(root);
    const before = inheritedBy(this.#stages, stage.from);
    for (const [index, instruction] of stage.instructions.entries()) {
      this.#apply(instruction, root, [...before, ...stage.instructions.slice(0, index)]);
    }
    return root;
  }

  #apply({ name, text }: Instruction, root: string, before: readonly Instruction[]): void {
    const folder = join(root, before.findLast(({ name }) => name === "WORKDIR")?.text ?? "/");
    const user = before.findLast(({ name }) => name === "USER")?.text ?? "0:0";
    if (name === "COPY") this.#copy(text, root, folder);
    else if (name === "RUN") {
      for (const command of text.split(/\s+&&\s+/)) this.#run(command, root, folder, before);
      if (user !== "0:0") own(join(root, variablesIn(before)["DENO_DIR"]!), user);
    } else if (!DESCRIBES.has(name)) throw new Error(`${name} ${text}: there is no stand-in`);
  }

  #copy(text: string, root: string, folder: string): void {
    const words = text.split(" ");
    const option = (name: string) => words.find((word) => word.startsWith(`--${name}=`))?.split("=")[1];
    const paths = words.filter((word) => !word.startsWith("--"));
    const from = option("from");
    const to = paths.pop()!;
    const target = to.startsWith("/") ? join(root, to) : join(folder, to);
    for (const path of paths) {
      if (from === undefined) {
        for (const file of contextFiles(this.#sources.context, path, this.#isIgnored)) {
          const inside = path === file
            ? (to.endsWith("/") ? basename(file) : "")
            : file.slice(path.length + 1);
          // Copies, which may be given to the image's user.
          copyInto("/", join(this.#sources.context, file), join(target, inside), Deno.copyFileSync);
        }
        if (option("chown") !== undefined) own(target, option("chown")!);
      } else if (this.#isForeign(from)) this.#takeBinary(path, root, to);
      else copyTree(join(this.#build(from), path), target, Deno.linkSync);
    }
  }

  /** A stage that is nothing but another image. */
  #isForeign(stage: string): boolean {
    return this.#stages.find(({ name }) => name === stage)?.instructions.length === 0;
  }

  #takeBinary(path: string, root: string, to: string): void {
    const binary = this.#sources.binaries[path];
    if (binary === undefined) throw new Error(`nothing stands in for ${path}`);
    copyInto(root, binary, to);
    copyLibraries(root, binary);
  }

  #run(command: string, root: string, folder: string, before: readonly Instruction[]): void {
    const words = command.split(/\s+/).filter((word) => !/^[A-Z_]+=/.test(word));
    const [program, verb] = words;
    const operands = words.slice(1).filter((word) => !word.startsWith("-"));
    if (program === "apt-get" && verb === "install") {
      const { without = [] } = this.#sources;
      for (const name of operands.slice(1).filter((name) => !without.includes(name))) copyPackage(root, name);
    } else if (program === "deno" && verb === "install") {
      installModules(folder, operands.slice(1), this.#sources.modules);
      Deno.mkdirSync(modulesOf(root, variablesIn(before)), { recursive: true });
    } else if (program === "install") {
      for (const path of operands.filter((word) => word.startsWith("/"))) {
        Deno.mkdirSync(join(root, path), { recursive: true });
        own(join(root, path), `${valueOf(words, "-o")}:${valueOf(words, "-g")}`);
      }
    } else if (program === "useradd") addUser(root, words);
    else if (!REMOVES.test(command)) throw new Error(`RUN ${command}: there is no stand-in`);
  }
}

function modulesOf(root: string, env: Readonly<Record<string, string>>): string {
  return join(root, env["DENO_DIR"]!, "npm");
}

/** What they say is read where it is needed. */
const DESCRIBES = new Set(["ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"]);

/** What has been fetched or written by the way, and is not here. */
const REMOVES = /^(apt-get update|rm -r?f .*|find \S+ -name \S+ -delete)$/;

/** As much of a system as every container has. */
function layBase(root: string): void {
  for (const path of ["dev", "etc", "proc", "tmp"]) Deno.mkdirSync(join(root, path), { recursive: true });
  Deno.chmodSync(join(root, "tmp"), 0o1777);
  copyEssential(root);
  for (const device of DEVICES) Deno.writeTextFileSync(join(root, device), "");
  Deno.writeTextFileSync(join(root, "etc/passwd"), "root:x:0:0::/root:/bin/false\n");
}

/** Mounted from this machine. */
export const DEVICES = ["dev/null", "dev/urandom"] as const;

function addUser(root: string, words: readonly string[]): void {
  const [uid, home] = [valueOf(words, "--uid"), valueOf(words, "--home-dir")];
  Deno.writeTextFileSync(join(root, "etc/passwd"), `${words.at(-1)}:x:${uid}:${uid}::${home}:/bin/false\n`, {
    append: true,
  });
  Deno.mkdirSync(join(root, home), { recursive: true });
  own(join(root, home), `${uid}:${uid}`);
}

function valueOf(words: readonly string[], option: string): string {
  return words[words.indexOf(option) + 1]!;
}

/** Of everything in it. Only root may give files away; without root the user is mapped instead. */
function own(path: string, user: string): void {
  if (Deno.uid() !== 0) return;
  const [uid, gid] = user.split(":").map(Number);
  Deno.chownSync(path, uid!, gid!);
  if (!Deno.statSync(path).isDirectory) return;
  for (const { name } of Deno.readDirSync(path)) own(join(path, name), user);
}

function variablesIn(instructions: readonly Instruction[]): Record<string, string> {
  const texts = instructions.filter(({ name }) => name === "ENV").map(({ text }) => text);
  return Object.fromEntries(
    texts.flatMap((text) => [...text.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value])),
  );
}

function homeIn(instructions: readonly Instruction[]): string {
  const texts = instructions.filter(({ name }) => name === "RUN").map(({ text }) => text).join(" ");
  return /--home-dir (\S+)/.exec(texts)?.[1] ?? "/root";
}
