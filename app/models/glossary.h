#pragma once
// The terms of the window, each in one sentence with its formula.
#include <QString>
#include <vector>

namespace lrc::app {

struct GlossaryEntry {
  QString term, sentence, formula;  ///< formula may be empty
};
const std::vector<GlossaryEntry>& glossary();
/// The entry whose term is `term`, whatever the case; null when there is none.
const GlossaryEntry* find_term(const QString& term);

}  // namespace lrc::app
