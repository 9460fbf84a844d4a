#include <iostream>
#include <utility>

#include "base/error.h"
#include "cli/commands.h"
#include "run/open_model.h"
#include "tokenizer/chat_template.h"

namespace lrc::cli {
namespace {

struct Side {
  OpenedModel opened;
  std::shared_ptr<ChatSession> session;
};

/// `moved` gets the sentence when the device stops working in the middle of the conversation.
Side open_side(const std::string& path, const std::string& device, std::shared_ptr<const Model> known, std::optional<std::size_t> context,
               std::string& moved) {
  Side side;
  side.opened = open_model(path, std::move(known));
  if (const auto problem = side.opened.model->tokenizer_problem())
    throw Error(ErrorKind::unsupported, "Chat needs the tokenizer of " + path + ": " + *problem);
  side.session = make_chat(side.opened, device, context.value_or(side.opened.model->config().context));
  fall_back_to_cpu(*side.session, side.opened, [&moved](const std::string& sentence) {
    moved = sentence + " The conversation goes on with the CPU.";
    std::cerr << "\nlrc: " << moved << "\n";
  });
  return side;
}

/// The whole conversation as tokens. A model without a template continues the last message as plain text.
std::vector<TokenId> prompt_ids(const Model& model, const std::vector<ChatMessage>& messages) {
  const auto tokenizer = model.tokenizer();
  const auto& spec = tokenizer->spec();
  const auto text = [&](const std::optional<TokenId>& id) { return id ? tokenizer->piece(*id) : std::string(); };
  std::vector<TokenId> ids;
  if (const std::string source = model.chat_template(); !source.empty()) {
    ids = tokenizer->encode(render_chat(source, messages, true, text(spec.bos), text(spec.eos)), true);
  } else {
    std::string plain;
    for (const auto& message : messages) plain += message.content;
    if (spec.add_bos && spec.bos) ids.push_back(*spec.bos);
    const auto rest = tokenizer->encode(plain, true);
    ids.insert(ids.end(), rest.begin(), rest.end());
  }
  return ids;
}

Json to_json(const Generation& g) {
  Json result = {{"text", g.text},
                 {"ids", g.ids},
                 {"prompt_tokens", g.prompt_tokens},
                 {"prompt_tokens_per_second", g.prompt_tokens_per_second},
                 {"tokens_per_second", g.tokens_per_second},
                 {"first_token_s", g.first_token_s}};
  const char* reasons[] = {"end_of_turn", "length", "stopped", "context_full", "stop_string"};
  result["reason"] = reasons[int(g.reason)];
  return result;
}

std::string speed(const Generation& g) {
  return std::to_string(g.ids.size()) + " tokens, " + fixed(g.tokens_per_second, 1) + " tokens/s, first after " +
         fixed(g.first_token_s * 1000, 0) + " ms";
}

}  // namespace

void chat(const Context& context, const ChatOptions& options) {
  if (options.follow && options.against.empty()) throw Error(ErrorKind::bad_input, "--follow needs a second model: add --against MODEL.");
  std::string moved;
  Side first = open_side(options.model, context.device, {}, options.context, moved);
  std::optional<Side> second;
  if (!options.against.empty()) second = open_side(options.against, context.device, first.opened.model, options.context, moved);
  const Sampling sampling{.temperature = options.temperature,
                          .top_k = options.top_k,
                          .top_p = options.top_p,
                          .seed = context.seed.value_or(0),
                          .min_p = options.min_p,
                          .repetition_penalty = options.repeat_penalty,
                          .stop = options.stop};

  std::vector<ChatMessage> messages, second_messages;
  if (!options.system.empty()) messages.push_back({"system", options.system});
  second_messages = messages;
  const auto answer_of = [&](const Side& side, const std::vector<TokenId>& ids) {
    std::size_t shown = 0;
    const auto stream = [&](const GeneratedToken& token) {
      if (!context.json) std::cout << token.text << std::flush;
      shown += token.text.size();
      return true;
    };
    const Generation answer = side.session->generate(ids, options.max_tokens, sampling, stream, context.stop);
    // What might have become a stop string is held back until the end.
    if (!context.json) std::cout << std::string_view(answer.text).substr(shown) << "\n(" << speed(answer) << ")\n";
    return answer;
  };
  const auto turn = [&](const std::string& prompt) {
    messages.push_back({"user", prompt});
    second_messages.push_back({"user", prompt});
    const auto ids = prompt_ids(*first.opened.model, messages);
    if (!context.json && second) std::cout << "[" << first.opened.title << "]\n";
    const Generation answer = answer_of(first, ids);
    messages.push_back({"assistant", answer.text});
    Json result = to_json(answer);
    result["cache_bytes"] = first.session->cache_bytes();
    if (second && options.follow) {
      Json kl = Json::array(), same = Json::array();
      double sum = 0;
      for (const auto& token : compare_answer(*first.session, *second->session, ids, answer.ids, context.stop)) {
        kl.push_back(token.kl);
        same.push_back(!token.top_first.empty() && !token.top_second.empty() && token.top_first[0].id == token.top_second[0].id);
        sum += token.kl;
      }
      if (!context.json && !kl.empty())
        std::cout << "KL to " << second->opened.title << ": mean " << fixed(sum / double(kl.size()), 3) << " nats\n";
      result["kl"] = kl;
      result["same_top"] = same;
      second_messages.push_back({"assistant", answer.text});
    } else if (second) {
      if (!context.json) std::cout << "[" << second->opened.title << "]\n";
      const Generation other = answer_of(*second, prompt_ids(*second->opened.model, second_messages));
      second_messages.push_back({"assistant", other.text});
      result["against"] = to_json(other);
      result["against"]["cache_bytes"] = second->session->cache_bytes();
    }
    if (!moved.empty()) result["moved_to_cpu"] = std::exchange(moved, {});
    return result;
  };

  if (!options.prompt.empty()) {
    const Json result = turn(options.prompt);
    context.print_json(result);
    throw_if_stopped(context.stop);
    return;
  }
  Json turns = Json::array();
  std::string line;
  while (!context.stop.stop_requested()) {
    if (!context.json) std::cout << "> " << std::flush;
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    turns.push_back(turn(line));
  }
  context.print_json({{"turns", turns}});
}

}  // namespace lrc::cli
