#include "panels/chat_history.h"

#include <QLineEdit>
#include <QListWidget>
#include <QVBoxLayout>

#include "models/notebook.h"
#include "workspace.h"

namespace lrc::app {

namespace {
constexpr std::size_t most_chats = 50;
}

ChatHistory::ChatHistory(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  search_ = new QLineEdit(this);
  search_->setObjectName("historySearch");
  search_->setAccessibleName(tr("Search the chats"));
  search_->setPlaceholderText(tr("Search"));
  search_->setClearButtonEnabled(true);
  column->addWidget(search_);
  list_ = new QListWidget(this);
  list_->setObjectName("chatHistory");
  list_->setAccessibleName(tr("Chats of the session"));
  list_->setFixedHeight(112);
  list_->setTextElideMode(Qt::ElideRight);
  list_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  column->addWidget(list_);
  connect(search_, &QLineEdit::textChanged, this, [this] { fill(); });
  connect(list_, &QListWidget::itemActivated, this, [this](QListWidgetItem* item) {
    current_ = item->data(Qt::UserRole).toInt();
    std::vector<ChatTurn> turns;
    for (const auto& [prompt, a, b] : chats_[std::size_t(current_)].turns) {
      ChatTurn turn;
      turn.prompt = prompt;
      turn.answers[0].text = a;
      turn.answers[1].text = b;
      for (ChatAnswer& answer : turn.answers) answer.finished = true;
      turns.push_back(std::move(turn));
    }
    emit chosen(turns);
  });
  connect(&Notebook::of(workspace_), &Notebook::viewsRestored, this, &ChatHistory::restore);
  connect(&workspace_, &Workspace::modelOpened, this, [this] {
    chats_.clear();
    begin();
    fill();
  });
  fill();
}

void ChatHistory::begin() { current_ = -1; }

void ChatHistory::keep(const std::vector<ChatTurn>& turns) {
  if (turns.empty()) return;
  Chat chat;
  chat.title = turns.front().prompt.simplified().left(60);
  for (const ChatTurn& turn : turns) chat.turns.push_back({turn.prompt, turn.answers[0].text, turn.answers[1].text});
  if (current_ < 0) {
    if (chats_.size() >= most_chats) chats_.erase(chats_.begin());
    chats_.push_back(std::move(chat));
    current_ = int(chats_.size()) - 1;
  } else {
    chats_[std::size_t(current_)] = std::move(chat);
  }
  save();
  fill();
}

void ChatHistory::fill() {
  const QString wanted = search_->text().trimmed();
  list_->clear();
  for (int i = int(chats_.size()) - 1; i >= 0; --i) {
    const Chat& chat = chats_[std::size_t(i)];
    bool found = wanted.isEmpty();
    for (const auto& turn : chat.turns)
      for (const QString& text : turn) found |= text.contains(wanted, Qt::CaseInsensitive);
    if (!found) continue;
    auto* item = new QListWidgetItem(chat.title, list_);
    item->setData(Qt::UserRole, i);
    item->setToolTip(tr("%1\n%2 turns").arg(chat.title).arg(chat.turns.size()));
    if (i == current_) list_->setCurrentItem(item);
  }
  setVisible(!chats_.empty());
}

void ChatHistory::save() {
  Json chats = Json::array();
  for (const Chat& chat : chats_) {
    Json turns = Json::array();
    for (const auto& [prompt, a, b] : chat.turns)
      turns.push_back({{"prompt", prompt.toStdString()}, {"a", a.toStdString()}, {"b", b.toStdString()}});
    chats.push_back(turns);
  }
  Notebook::of(workspace_).setView("chats", std::move(chats));
}

void ChatHistory::restore() {
  chats_.clear();
  begin();
  const Json kept = Notebook::of(workspace_).view("chats");
  if (kept.is_array())
    for (const Json& turns : kept) {
      Chat chat;
      if (!turns.is_array()) continue;
      for (const Json& turn : turns) {
        const auto text = [&](const char* key) {
          const auto found = turn.is_object() ? turn.find(key) : turn.end();
          return found != turn.end() && found->is_string() ? QString::fromStdString(found->get<std::string>()) : QString();
        };
        chat.turns.push_back({text("prompt"), text("a"), text("b")});
      }
      if (chat.turns.empty() || chats_.size() >= most_chats) continue;
      chat.title = chat.turns.front()[0].simplified().left(60);
      chats_.push_back(std::move(chat));
    }
  fill();
}

}  // namespace lrc::app
