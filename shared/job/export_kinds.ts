/** Forms in which a finished job's result can be had. */
export const EXPORT_KINDS = ["merged", "gguf", "adapter_gguf", "adapter"] as const;
export type ExportKind = typeof EXPORT_KINDS[number];
