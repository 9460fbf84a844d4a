#pragma once
// A conversation that was answered or asked differently keeps what was said before: each turn knows its alternatives, each with the
// turns that followed it.
#include "base/json.h"
#include "models/conversation.h"

namespace lrc::app {

/// `fresh` takes the place of turn `turn` and ends the conversation; what stood there, and all behind it, is kept as an alternative.
/// A turn that nobody answered is not worth keeping: it is replaced.
void begin_branch(std::vector<ChatTurn>& turns, std::size_t turn, ChatTurn fresh);
/// How many alternatives turn `turn` has, itself among them.
std::size_t branch_count(const std::vector<ChatTurn>& turns, std::size_t turn);
/// Brings back the alternative number `which` of turn `turn`, 0 … branch_count − 1, with the turns behind it.
void choose_branch(std::vector<ChatTurn>& turns, std::size_t turn, std::size_t which);
/// The conversation as it stands, without alternatives.
std::vector<ChatTurn> without_branches(const std::vector<ChatTurn>& turns);

/// What a session keeps: prompts and answers as text, with the alternatives; tokens and probabilities are not kept.
Json to_json(const std::vector<ChatTurn>& turns);
/// Takes what it understands: a session is a file that people may edit.
std::vector<ChatTurn> turns_from_json(const Json& json);

}  // namespace lrc::app
