#include "tokenizer/chat_template.h"

#include "base/error.h"
#include "tokenizer/template_evaluator.h"
#include "tokenizer/template_machine.h"
#include "tokenizer/template_syntax.h"

namespace lrc {

namespace {

constexpr std::size_t longest_template = std::size_t{4} << 20;

}  // namespace

const char* const plain_chat_template =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

std::string render_template(const std::string& source, const Json& context, bool trim_blocks, bool lstrip_blocks,
                            const TemplateLimits& limits, std::optional<std::int64_t> now) {
  if (source.size() > longest_template)
    throw Error(ErrorKind::bad_input, "The chat template is " + std::to_string(source.size()) + " bytes long; 4 MiB is the limit.");
  if (!context.is_object() && !context.is_null()) throw Error(ErrorKind::bad_input, "The values for a chat template have to be an object.");
  const jinja::Block block = jinja::parse_template(source, trim_blocks, lstrip_blocks);
  jinja::Machine machine(limits, now);
  return jinja::Evaluator(machine, context.is_null() ? Json::object() : context).render(block);
}

std::string render_chat(const std::string& source, const std::vector<ChatMessage>& messages, bool add_generation_prompt,
                        const std::string& bos_token, const std::string& eos_token, const Json& extra) {
  Json context = Json::object();
  context["messages"] = Json::array();
  for (const ChatMessage& message : messages) context["messages"].push_back({{"role", message.role}, {"content", message.content}});
  context["add_generation_prompt"] = add_generation_prompt;
  context["bos_token"] = bos_token;
  context["eos_token"] = eos_token;
  if (extra.is_object()) context.update(extra);
  return render_template(source, context);
}

}  // namespace lrc
