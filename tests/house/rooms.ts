/**
 * The rooms of the house: which folder may import which. A room is a folder below one of the sides, with all of its
 * subfolders; "." holds the files beside the rooms.
 *
 * Each table reads bottom up: a room imports rooms above its own line only, so that no circle can be written down.
 */

/** What each side may import besides itself. */
export const SIDES: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  coordinator: ["shared"],
  worker: ["shared"],
  // Drives the others as child processes and over HTTP.
  deploy: ["shared"],
  tests: ["shared", "coordinator", "worker", "deploy"],
};

/** May import every room of its side. */
export const ALL = "all";

type Rooms = Readonly<Record<string, readonly string[] | typeof ALL>>;

/** For each room the rooms of the same side that it may import. */
export const ROOMS: Readonly<Record<string, Rooms>> = {
  shared: {
    std: [],
    ".": [],
    // A hub's files in the shared cache, and uploads: coordinator and workers alike.
    hub: [".", "std"],
    python: ["."],
    model: [".", "std"],
    job: [".", "model", "python"],
    // A base model on disk, NF4 as bitsandbytes has it, and an adapter merged into it: workers load, quantise and measure,
    // exports write.
    checkpoint: [".", "job", "model", "std"],
    // What a fine-tune takes on a GPU: workers allocate by it, the coordinator tells it before anything is rented.
    memory: [".", "job", "model", "checkpoint"],
    data: [".", "std", "python", "job"],
    // Files for llama.cpp: the format, its names of tensors, the tokenizer in it.
    gguf: [".", "data", "job", "model"],
    protocol: [".", "checkpoint", "data", "job", "model"],
    bus: [".", "protocol"],
  },

  coordinator: {
    storage: [],
    config: [],
    broker: ["config", "storage"],
    access: ["broker", "storage"],
    base_models: ["storage"],
    // Datasets on a hub become files on this disk.
    datasets: [],
    planning: ["base_models", "storage"],
    job_request: ["planning"],
    training: ["access", "planning"],
    fleet: ["access", "broker", "planning", "storage", "training"],
    jobs: ["base_models", "datasets", "fleet", "job_request", "planning", "storage"],
    // What people take away from a job: reads its records, its checkpoints and its base model.
    exports: ["base_models", "fleet", "job_request", "jobs", "planning", "storage"],
    // A job before it is created: does it fit, how long, how much.
    estimate: ["base_models", "fleet", "job_request", "jobs", "planning"],
    // Numbers for Prometheus, counted around the services, which do not know of it.
    metrics: ["fleet", "jobs", "planning"],
    // Keeps a data folder for months: its versions, backups, retention, room on its disk.
    upkeep: ["access", "exports", "jobs", "storage"],
    // Watches jobs from outside; nothing but the start knows it.
    trackers: ["config", "job_request", "jobs", "storage"],
    api: [
      "access",
      "base_models",
      "estimate",
      "exports",
      "fleet",
      "job_request",
      "jobs",
      "metrics",
      "storage",
      "training",
      "upkeep",
    ],
    start: ALL,
    ".": ALL,
  },

  worker: {
    async: [],
    allreduce: ["async"],
    device: [],
    kernels: ["device"],
    files: ["async"],
    optimizer: ["files"],
    model: ["device", "files", "kernels", "optimizer"],
    engine: ["async", "device", "files", "kernels", "model", "optimizer"],
    local_steps: ["async", "engine", "optimizer"],
    step: ["allreduce", "async", "engine", "local_steps", "optimizer"],
    recovery: ["async", "engine", "optimizer", "step"],
    job: ["async", "engine", "files", "local_steps", "optimizer", "recovery", "step"],
    transfer: ["async", "engine"],
    // A dataset on one machine, and the merges that a fleet asks about.
    evaluate: ["async", "device", "files", "model", "transfer"],
    fleet: ["async", "job", "step", "transfer"],
    ".": ALL,
  },

  deploy: {
    setup: [],
    // The HTTP API as any client of OpenAI's sees it.
    client: [],
    terminal: ["client"],
    // Files for nats-servers on other machines; starts nothing.
    nats: [],
    // Child processes on this machine: coordinator, workers, evaluations.
    machine: ["client", "setup", "terminal"],
    demo: ["client", "machine", "setup", "terminal"],
    train: ["client", "machine", "setup", "terminal"],
    keys: ["client", "machine", "terminal"],
    // This machine, and whatever it is to work with.
    doctor: ["machine", "setup"],
    service: ["machine"],
    // What the images run.
    containers: [],
    // Rented pods: RunPod's API, prices, a budget; asks the coordinator about a job as any client does.
    runpod: ["client"],
    ".": ALL,
  },
};
