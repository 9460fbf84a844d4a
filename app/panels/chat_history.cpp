#include "panels/chat_history.h"

#include <QLineEdit>
#include <QListWidget>
#include <QVBoxLayout>

#include "models/chat_branches.h"
#include "models/notebook.h"
#include "workspace.h"

namespace lrc::app {

namespace {
constexpr std::size_t most_chats = 50;
constexpr int longest_title = 60;

QString first_words(const std::vector<ChatTurn>& turns) { return turns.front().prompt.simplified().left(longest_title); }
}  // namespace

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
    emit chosen(chats_[std::size_t(current_)].turns);
  });
  list_->setEditTriggers(QAbstractItemView::EditKeyPressed);  // F2
  connect(list_, &QListWidget::itemChanged, this, [this](QListWidgetItem* item) {
    Chat& chat = chats_[std::size_t(item->data(Qt::UserRole).toInt())];
    const QString title = item->text().simplified().left(longest_title);
    chat.title = title.isEmpty() ? first_words(chat.turns) : title;
    save();
    QMetaObject::invokeMethod(this, &ChatHistory::fill, Qt::QueuedConnection);  // the list is still being edited
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
  if (current_ < 0) {
    if (chats_.size() >= most_chats) chats_.erase(chats_.begin());
    chats_.push_back({first_words(turns), turns});
    current_ = int(chats_.size()) - 1;
  } else {
    chats_[std::size_t(current_)].turns = turns;
  }
  save();
  fill();
}

void ChatHistory::fill() {
  const QString wanted = search_->text().trimmed();
  const QSignalBlocker quiet(list_);
  list_->clear();
  for (int i = int(chats_.size()) - 1; i >= 0; --i) {
    const Chat& chat = chats_[std::size_t(i)];
    bool found = wanted.isEmpty() || chat.title.contains(wanted, Qt::CaseInsensitive);
    for (const ChatTurn& turn : chat.turns)
      for (const QString& text : {turn.prompt, turn.answers[0].text, turn.answers[1].text})
        found |= text.contains(wanted, Qt::CaseInsensitive);
    if (!found) continue;
    auto* item = new QListWidgetItem(chat.title, list_);
    item->setData(Qt::UserRole, i);
    item->setFlags(item->flags() | Qt::ItemIsEditable);
    item->setToolTip(tr("%1\n%2 turns · F2 renames").arg(chat.title).arg(chat.turns.size()));
    if (i == current_) list_->setCurrentItem(item);
  }
  setVisible(!chats_.empty());
}

void ChatHistory::save() {
  Json chats = Json::array();
  for (const Chat& chat : chats_) chats.push_back({{"title", chat.title.toStdString()}, {"turns", to_json(chat.turns)}});
  Notebook::of(workspace_).setView("chats", std::move(chats));
}

void ChatHistory::restore() {
  chats_.clear();
  begin();
  const Json kept = Notebook::of(workspace_).view("chats");
  if (kept.is_array())
    for (const Json& each : kept) {
      // Sessions of an earlier version hold the turns alone.
      const auto turns = each.is_object() ? each.find("turns") : each.end();
      Chat chat;
      chat.turns = turns_from_json(turns != each.end() ? *turns : each);
      if (chat.turns.empty() || chats_.size() >= most_chats) continue;
      const auto title = each.is_object() ? each.find("title") : each.end();
      if (title != each.end() && title->is_string()) chat.title = QString::fromStdString(title->get<std::string>()).left(longest_title);
      if (chat.title.isEmpty()) chat.title = first_words(chat.turns);
      chats_.push_back(std::move(chat));
    }
  fill();
}

}  // namespace lrc::app
