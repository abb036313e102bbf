/** Fields of `TrainingArguments` about the push to the hub: they belong to the job's record, not to its specification. */
import { EXPORT_KINDS } from "../../../shared/job/export_kinds.ts";
import { afterwards, type FieldRules } from "./rule.ts";

const KINDS = EXPORT_KINDS.map((kind) => `\`"${kind}"\``).join(", ");

export const PUSH_RULES: FieldRules = {
  push_to_hub: afterwards(
    "Pushes the result when the job has succeeded, with the coordinator's HF_TOKEN (exports.md)",
  ),
  hub_model_id: afterwards(
    'With push_to_hub: `"org/name"`, or a name in the account of the token; the suffix or the base model\'s name if left out',
  ),
  hub_private_repo: afterwards(
    "With push_to_hub: whether a repository that the push makes is private; `true` if left out",
  ),
  hub_revision: afterwards('With push_to_hub: a branch; `"main"` if left out'),
  hub_strategy: afterwards(
    'With push_to_hub: `"end"`, which `"every_save"`, the library\'s default, is taken for; `"checkpoint"` and `"all_checkpoints"` are ' +
      "refused, because one push follows the end",
  ),
  hub_kind: afterwards(`With push_to_hub: what is pushed, ${KINDS}; \`"adapter"\` if left out, as TRL does`),
  push_to_hub_model_id: afterwards("The name in hub_model_id, as transformers had it earlier"),
  push_to_hub_organization: afterwards("The organisation in hub_model_id, as transformers had it earlier"),
};
