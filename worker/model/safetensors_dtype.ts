/** The element types of safetensors files, which both sides read (shared/model/safetensors_dtype.ts). */
export * from "../../shared/model/safetensors_dtype.ts";
