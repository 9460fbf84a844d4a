// HellaSwag (Zellers et al. 2019): which of four endings continues a description.
#include "evaluation/tasks.h"
#include "tokenizer/template_text.h"

namespace lrc {
namespace {

/// The harness's clean-up: traces of WikiHow's mark-up go. "[title]" opens a heading, any other bracket is dropped with what it
/// holds (on one line), two blanks become one, once from left to right.
std::string cleaned(const std::string& raw) {
  constexpr std::size_t most = std::size_t(1) << 30;
  const std::string text = jinja::replaced(jinja::stripped(raw, "", true, true), " [title]", ". ", -1, most);
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '[') {
      const std::size_t end = text.find_first_of("]\n", at);
      if (end != std::string::npos && text[end] == ']') {
        at = end + 1;
        continue;
      }
    }
    result += text[at++];
  }
  return jinja::replaced(result, "  ", " ", -1, most);
}

TaskItem item(const TaskRow& row) {
  const bool original = row.has("endings");
  const std::string context = original ? row.text("activity_label") + ": " + row.text("ctx_a") + " " +
                                             (row.has("ctx_b") ? jinja::capitalize(row.text_or_empty("ctx_b")) : "")
                                       : row.text("query");
  const auto endings = row.texts(original ? "endings" : "choices");
  TaskItem result;
  result.line = row.line();
  const std::string prompt = cleaned(context);
  for (const std::string& ending : endings) {
    result.choices.push_back(answer_after(prompt, cleaned(ending)));
    if (result.choices.back().continuation == " ") row.fail("has an ending that is empty but for mark-up");
  }
  result.gold = row.index(original ? "label" : "gold", endings.size());
  return result;
}

}  // namespace

Task hellaswag_task() {
  return {.name = "hellaswag",
          .sentence = "Which of four endings continues a description",
          .fields = "query, choices, gold (or activity_label, ctx_a, ctx_b, endings, label)",
          .normalized = true,
          .six_line_texts = true,
          .files = {"hellaswag", "hellaswag_val_full", "hellaswag_val_0-1999"},
          .item = item};
}

}  // namespace lrc
