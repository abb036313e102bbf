/** What an export of a job can be. */
export const EXPORT_KINDS = ["merged", "gguf", "adapter_gguf", "adapter"] as const;
export type ExportKind = typeof EXPORT_KINDS[number];
