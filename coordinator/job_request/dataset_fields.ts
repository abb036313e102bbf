/** What fields of a job's data mean together. */
import type { JobSpec } from "../../shared/job/job_spec_schema.ts";
import { invalidField, show } from "./errors.ts";

/** Throws `invalid_request` for templates and columns that could have no effect. */
export function checkDatasetFields({ dataset }: JobSpec): void {
  const { text_field: text, column_mapping: mapping = {} } = dataset;
  if (mapping.text !== undefined && text !== "text") {
    const message =
      `dataset.column_mapping takes "text" from ${show(mapping.text)}, but dataset.text_field is ${
        show(text)
      }; ` +
      `leave one of them out`;
    throw invalidField("dataset.column_mapping", message);
  }
  const { response_template: response, instruction_template: instruction, completion_only_loss } = dataset;
  if (instruction !== undefined && response === undefined) {
    const message =
      `dataset.instruction_template is ${
        show(instruction)
      }, but dataset.response_template is not set: it marks ` +
      `the texts that are trained`;
    throw invalidField("dataset.instruction_template", message);
  }
  if (response !== undefined && !completion_only_loss) {
    const message = `dataset.response_template (${show(response)}) trains on responses alone, and ` +
      `dataset.completion_only_loss is false; leave one of them out`;
    throw invalidField("dataset.completion_only_loss", message);
  }
  if (response !== undefined && response === instruction) {
    const message = `dataset.instruction_template and dataset.response_template are both ${
      show(response)
    }; they have to differ`;
    throw invalidField("dataset.instruction_template", message);
  }
}
