#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace lrc {

struct ChatMessage {
  std::string role;  ///< "system", "user", "assistant"
  std::string content;
};

struct TemplateLimits {
  double seconds = 2.0;
  std::size_t output_bytes = 4u << 20;
  std::size_t steps = 2'000'000;
};

/// A small Jinja evaluator for chat templates: no file access, no attribute access into the program, bounded in time, steps
/// and output. trim_blocks and lstrip_blocks as the field's chat templates expect (both on by default).
/// Truth values are written true and false, none is written as nothing, lists and dictionaries as JSON.
/// `now`: seconds since 1970 that strftime_now shows, in UTC; none: the system's clock and time zone.
/// Throws Error(bad_input) with the template's own raise_exception message, or the place of a fault.
std::string render_template(const std::string& source, const Json& context, bool trim_blocks = true, bool lstrip_blocks = true,
                            const TemplateLimits& limits = {}, std::optional<std::int64_t> now = {});

/// The usual context: messages, add_generation_prompt, bos_token, eos_token. `extra` is merged in.
std::string render_chat(const std::string& source, const std::vector<ChatMessage>& messages, bool add_generation_prompt,
                        const std::string& bos_token, const std::string& eos_token, const Json& extra = Json::object());

/// Plain ChatML, offered when a model has no template or a broken one.
extern const char* const plain_chat_template;

}  // namespace lrc
