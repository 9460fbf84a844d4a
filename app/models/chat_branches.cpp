#include "models/chat_branches.h"

#include <algorithm>
#include <iterator>

namespace lrc::app {

namespace {

// Alternatives within alternatives of a file: deeper than anybody edits by hand.
constexpr int deepest_nesting = 24;

bool was_answered(const ChatTurn& turn) {
  return std::any_of(turn.answers.begin(), turn.answers.end(), [](const ChatAnswer& answer) { return !answer.text.isEmpty(); });
}

std::vector<ChatTurn> turns_from_json(const Json& json, int depth) {
  std::vector<ChatTurn> turns;
  if (!json.is_array() || depth > deepest_nesting) return turns;
  for (const Json& each : json) {
    if (!each.is_object()) continue;
    const auto text = [&](const char* key) {
      const auto found = each.find(key);
      return found != each.end() && found->is_string() ? QString::fromStdString(found->get<std::string>()) : QString();
    };
    ChatTurn turn;
    turn.prompt = text("prompt");
    turn.answers[0].text = text("a");
    turn.answers[1].text = text("b");
    for (ChatAnswer& answer : turn.answers) answer.finished = true;
    if (const auto others = each.find("others"); others != each.end() && others->is_array())
      for (const Json& other : *others)
        if (auto kept = turns_from_json(other, depth + 1); !kept.empty()) turn.others.push_back(std::move(kept));
    if (const auto place = each.find("place"); place != each.end() && place->is_number_unsigned())
      turn.place = std::min(place->get<std::size_t>(), turn.others.size());
    turns.push_back(std::move(turn));
  }
  return turns;
}

}  // namespace

void begin_branch(std::vector<ChatTurn>& turns, std::size_t turn, ChatTurn fresh) {
  const auto head = turns.begin() + std::ptrdiff_t(turn);
  std::vector<ChatTurn> tail(std::make_move_iterator(head), std::make_move_iterator(turns.end()));
  turns.erase(head, turns.end());
  fresh.others = std::move(tail.front().others);
  const std::size_t place = tail.front().place;
  tail.front().others.clear();
  if (was_answered(tail.front())) fresh.others.insert(fresh.others.begin() + std::ptrdiff_t(place), std::move(tail));
  fresh.place = fresh.others.size();
  turns.push_back(std::move(fresh));
}

std::size_t branch_count(const std::vector<ChatTurn>& turns, std::size_t turn) { return turns[turn].others.size() + 1; }

void choose_branch(std::vector<ChatTurn>& turns, std::size_t turn, std::size_t which) {
  if (which >= branch_count(turns, turn) || which == turns[turn].place) return;
  const auto head = turns.begin() + std::ptrdiff_t(turn);
  std::vector<ChatTurn> tail(std::make_move_iterator(head), std::make_move_iterator(turns.end()));
  turns.erase(head, turns.end());
  std::vector<std::vector<ChatTurn>> all = std::move(tail.front().others);
  const std::size_t place = tail.front().place;
  tail.front().others.clear();
  all.insert(all.begin() + std::ptrdiff_t(place), std::move(tail));
  std::vector<ChatTurn> chosen = std::move(all[which]);
  all.erase(all.begin() + std::ptrdiff_t(which));
  chosen.front().others = std::move(all);
  chosen.front().place = which;
  turns.insert(turns.end(), std::make_move_iterator(chosen.begin()), std::make_move_iterator(chosen.end()));
}

std::vector<ChatTurn> without_branches(const std::vector<ChatTurn>& turns) {
  std::vector<ChatTurn> plain;
  for (const ChatTurn& turn : turns) plain.push_back({turn.prompt, turn.answers, {}, 0, turn.first_read});
  return plain;
}

Json to_json(const std::vector<ChatTurn>& turns) {
  Json json = Json::array();
  for (const ChatTurn& turn : turns) {
    Json each = {
        {"prompt", turn.prompt.toStdString()}, {"a", turn.answers[0].text.toStdString()}, {"b", turn.answers[1].text.toStdString()}};
    if (!turn.others.empty()) {
      each["place"] = turn.place;
      each["others"] = Json::array();
      for (const auto& other : turn.others) each["others"].push_back(to_json(other));
    }
    json.push_back(std::move(each));
  }
  return json;
}

std::vector<ChatTurn> turns_from_json(const Json& json) { return turns_from_json(json, 0); }

}  // namespace lrc::app
