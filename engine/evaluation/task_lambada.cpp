// LAMBADA (Paperno et al. 2016, the OpenAI form): the last word of a passage, exactly, by greedy decoding.
#include "evaluation/tasks.h"

namespace lrc {
namespace {

TaskItem item(const TaskRow& row) {
  // The passage is put together again and parted at its last blank, so that both forms of the file mean the same word.
  std::string text;
  if (row.has("text")) {
    text = row.text("text");
  } else {
    const std::string last = row.text("continuation");
    text = row.text("context") + (last[0] == ' ' || last[0] == '\n' ? "" : " ") + last;
  }
  const std::size_t blank = text.rfind(' ');
  if (blank == std::string::npos || blank == 0 || blank + 1 == text.size()) row.fail("has a passage without a last word");
  return {row.line(), {answer_after(text.substr(0, blank), text.substr(blank + 1))}, 0};
}

}  // namespace

Task lambada_task() {
  return {.name = "lambada",
          .sentence = "The last word of a passage, exactly",
          .fields = "context, continuation (or text)",
          .greedy = true,
          .files = {"lambada", "lambada_openai"},
          .item = item};
}

}  // namespace lrc
