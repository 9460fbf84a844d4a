#include <iostream>

#include "base/error.h"
#include "base/files.h"
#include "cli/commands.h"
#include "cli/parse.h"
#include "run/open_model.h"
#include "tokenizer/chat_template.h"

namespace lrc::cli {

void tokenize(const Context& context, const TextOptions& options) {
  const auto tokenizer = open_model(options.model).model->tokenizer();
  const std::string text = options.file.empty() ? options.text : read_file(options.file);
  const auto ids = tokenizer->encode(text, options.special);
  Json pieces = Json::array();
  for (const auto id : ids) pieces.push_back(tokenizer->piece(id));
  context.print_json({{"ids", ids}, {"pieces", pieces}});
  if (context.json) return;
  for (std::size_t i = 0; i < ids.size(); ++i) std::cout << (i ? "," : "") << ids[i];
  std::cout << '\n';
}

void detokenize(const Context& context, const TextOptions& options) {
  const auto tokenizer = open_model(options.model).model->tokenizer();
  const auto ids = parse_ids(options.ids);
  for (const int id : ids)
    if (std::size_t(id) >= tokenizer->size())
      throw Error(ErrorKind::bad_input, "Id " + std::to_string(id) + " is outside the vocabulary of " + options.model + " (" +
                                            std::to_string(tokenizer->size()) + " tokens).");
  const std::string text = tokenizer->decode({ids.begin(), ids.end()}, false);
  context.print_json({{"text", text}});
  if (!context.json) std::cout << text << '\n';
}

void render_template_command(const Context& context, const TextOptions& options) {
  const auto opened = open_model(options.model);
  const auto tokenizer = opened.model->tokenizer();
  const std::string source = opened.model->chat_template();
  if (source.empty()) throw Error(ErrorKind::unsupported, options.model + " has no chat template; use lrc tokenize on plain text.");
  Json messages = read_json_file(options.messages);
  if (messages.is_object() && messages.contains("messages")) messages = Json(messages["messages"]);
  if (!messages.is_array()) throw Error(ErrorKind::bad_input, options.messages + " holds no list of {\"role\", \"content\"} objects.");
  const auto& spec = tokenizer->spec();
  const auto special = [&](const std::optional<TokenId>& id) { return id ? tokenizer->piece(*id) : std::string(); };
  const std::string text =
      render_chat(source, {}, options.generation_prompt, special(spec.bos), special(spec.eos), {{"messages", std::move(messages)}});
  const auto ids = tokenizer->encode(text, true);
  context.print_json({{"text", text}, {"ids", ids}});
  if (!context.json) std::cout << text;
}

}  // namespace lrc::cli
