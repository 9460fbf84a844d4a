#include "panels/chat_panel.h"

#include <QKeyEvent>
#include <QMimeData>
#include <QPlainTextEdit>

#include "models/chat_branches.h"
#include "models/run_facts.h"
#include "models/text_file.h"
#include "panels/branch_box.h"
#include "panels/chat_history.h"
#include "panels/chat_side.h"
#include "panels/chat_transcript.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/prompt_preview.h"
#include "panels/sample_batch.h"
#include "panels/sampling_box.h"
#include "panels/token_text.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

ChatPanel::ChatPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), worker_(new ChatWorker(workspace, this)) {
  setObjectName("chatPanel");
  setWindowTitle(tr("Chat"));
  build();
  listen();
  followModel();
}

void ChatPanel::followModel() {
  worker_->forgetSessions();
  clearChat();
  for (ChatSide* side : sides_) {
    side->setSpeed(0, 0);
    side->setMemory(0);
  }
  const bool there = workspace_.hasModel();
  input_->setEnabled(there);
  notice_->clear();
  sampling_->setLongestContext(there ? workspace_.model()->config().context : usual_context);
  sampling_->takeDefaults();
  controls_->setContext(there ? QString::fromStdString(workspace_.model()->display_name()) : QString());
  followSlots();
  if (!there) {
    notice_->say(tr("Open a model to talk to it."));
    followBusy();
    return;
  }
  if (const auto problem = workspace_.model()->tokenizer_problem()) {
    notice_->say(QString::fromStdString(*problem), Notice::Tone::warning);
    input_->setEnabled(false);
    followBusy();
    return;
  }
  followBusy();
  struct Answer {
    PromptForm form;
    QString problem;
  };
  // A template may take its two seconds: not on this thread.
  workspace_.chatLane().submit<Answer>(
      "template", this,
      [model = workspace_.model()](Progress&, std::stop_token) {
        Answer answer;
        answer.form = usable_form(*model, answer.problem);
        return answer;
      },
      [this](Answer answer) {
        if (!workspace_.hasModel()) return;
        sampling_->setForm(answer.form, !workspace_.model()->chat_template().empty(), answer.problem);
        if (!answer.problem.isEmpty())
          notice_->say(tr("The model’s chat template cannot be used, plain ChatML stands in: %1").arg(answer.problem),
                       Notice::Tone::warning);
      });
}

QString ChatPanel::titleOf(int side) const { return workspace_.slotTitle(side == 0 ? workspace_.slotA() : workspace_.slotB()); }

void ChatPanel::followSlots() {
  for (int side = 0; side < 2; ++side) {
    ChatSide& column = *sides_[std::size_t(side)];
    if (column.title() == titleOf(side)) continue;
    column.setTitle(titleOf(side));
    column.setSpeed(0, 0);  // what was measured was another's
    column.setMemory(0);
    for (std::size_t turn = 0; turn < turns_.size(); ++turn) showAnswer(turn, side);
  }
  showDivergence();
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  std::size_t rank = 0;
  if (b)
    for (const LayerRecord& record : b->manifest.layers) rank = std::max(rank, record.rank);
  const int blocks = workspace_.hasModel() ? int(workspace_.model()->config().blocks) : 0;
  branch_->setBranch(blocks, int(rank), b == nullptr ? tr("B is the original: it has no branch.") : tr("This run’s method has no branch."));
}

void ChatPanel::clearChat() {
  worker_->stop();
  endEdit();
  turns_.clear();
  popover_->hide();
  transcript_->clear(workspace_.hasModel());
  history_->begin();
  showDivergence();
}

void ChatPanel::preview() {
  std::vector<ChatTurn> turns = without_branches(turns_);
  if (editing_) turns.resize(std::min(*editing_, turns.size()));
  if (const QString typed = input_->toPlainText(); !typed.trimmed().isEmpty()) turns.push_back({typed, {}});
  preview_->show(sampling_->form(), std::move(turns), sampling_->maxTokens(), sampling_->context());
}

void ChatPanel::open(const std::vector<ChatTurn>& turns) {
  worker_->stop();
  endEdit();
  transcript_->clear(false);
  turns_ = turns;
  showFrom(0);
}

/// Turns from this one on, as they stand now.
void ChatPanel::showFrom(std::size_t first) {
  popover_->hide();
  transcript_->dropFrom(first);
  for (std::size_t turn = first; turn < turns_.size(); ++turn) {
    transcript_->addTurn(turns_[turn].prompt);
    transcript_->showBranches(turn, turns_[turn].place, branch_count(turns_, turn));
    for (int side = 0; side < 2; ++side) showAnswer(turn, side);
  }
  transcript_->setCut(turns_.empty() ? 0 : turns_.back().first_read);
  showDivergence();
}

void ChatPanel::send() {
  const QString prompt = input_->toPlainText();
  if (prompt.trimmed().isEmpty() || !workspace_.hasModel() || !input_->isEnabled()) return;
  if (worker_->busy()) {
    notice_->say(tr("The last message is still being answered; this one stays in the box. Esc stops the answer."));
    return;
  }
  const std::size_t turn = editing_.value_or(turns_.size());
  endEdit();
  input_->clear();
  ask(turn, prompt);
}

/// Asks for both answers: behind the last turn, or in the place of one, which is kept.
void ChatPanel::ask(std::size_t turn, const QString& prompt) {
  if (turn < turns_.size())
    begin_branch(turns_, turn, {prompt, {}});
  else
    turns_.push_back({prompt, {}});
  showFrom(turn);
  start(false);
}

void ChatPanel::regenerate() {
  if (!turns_.empty() && !worker_->busy()) ask(last(), turns_.back().prompt);
}

void ChatPanel::edit(std::size_t turn) {
  if (turn >= turns_.size() || worker_->busy()) return;
  editing_ = turn;
  input_->setPlainText(turns_[turn].prompt);
  input_->moveCursor(QTextCursor::End);
  input_->setFocus();
  notice_->say(tr("Message %1 is being edited: Enter sends it from there and keeps what was said, Esc leaves it.").arg(turn + 1));
}

void ChatPanel::endEdit() {
  if (!editing_) return;
  editing_.reset();
  input_->clear();
  notice_->clear();
}

void ChatPanel::chooseBranch(std::size_t turn, std::size_t which) {
  if (worker_->busy() || turn >= turns_.size()) return;
  endEdit();
  choose_branch(turns_, turn, which);
  showFrom(turn);
  history_->keep(turns_);
}

/// The side that reads what the other says goes on in its own words from this token; what it read so far is kept as a branch.
void ChatPanel::continueFrom(std::size_t turn, int token) {
  if (worker_->busy() || turn >= turns_.size()) return;
  const std::size_t side = turns_[turn].answers[0].forced ? 0 : 1;
  const std::vector<TokenId>& ids = turns_[turn].answers[side].ids;
  if (token < 0 || std::size_t(token) >= ids.size()) return;
  const std::vector<QString> texts = token_texts(*workspace_.model()->tokenizer(), ids);
  std::size_t place = std::size_t(token);
  while (place > 0 && texts[place - 1].isEmpty()) --place;  // not from the middle of a character
  ChatTurn fresh{turns_[turn].prompt, turns_[turn].answers};
  ChatAnswer& other = fresh.answers[1 - side];
  other.compared.clear();
  other.parts_at.reset();
  ChatAnswer& own = fresh.answers[side] = {};
  for (std::size_t i = 0; i < place; ++i) own.text += texts[i];
  const std::vector<TokenId> said(ids.begin(), ids.begin() + std::ptrdiff_t(place));
  begin_branch(turns_, turn, std::move(fresh));
  showFrom(turn);
  transcript_->text(turn, int(side))->setFocus();
  start(false, ChatWorker::Job::Continuation{int(side), said});
}

void ChatPanel::goToTurn(int step) {
  if (turns_.empty()) return;
  const int now = transcript_->turnWithFocus();
  if (now >= 0 && now + step >= int(turns_.size())) return input_->setFocus();
  transcript_->goToTurn(now < 0 ? last() : std::size_t(std::max(0, now + step)));
}

bool ChatPanel::mayRescore() const {
  if (turns_.empty() || turns_.back().answers[0].ids.empty()) return false;
  return turns_.back().answers[0].forced || turns_.back().answers[1].forced;
}

void ChatPanel::start(bool rescore, std::optional<ChatWorker::Job::Continuation> continuation) {
  notice_->clear();
  popover_->hide();
  rescoring_ = rescore;
  ChatWorker::Job job;
  job.turns = without_branches(turns_);
  job.mode = batch_->running() ? ChatMode::b_follows_a : sampling_->mode();
  job.form = sampling_->form();
  job.sampling = {sampling_->sampling(0), sampling_->sampling(1)};
  job.max_tokens = sampling_->maxTokens();
  job.context = sampling_->context();
  job.branch = branch_->control();
  job.sides = {workspace_.slotA(), workspace_.slotB()};
  speakers_ = {titleOf(0), titleOf(1)};
  job.devices = {sides_[0]->device(), sides_[1]->device()};
  job.rescore = rescore;
  job.continuation = std::move(continuation);
  if (!rescore) strip_->setTokens({});
  worker_->start(std::move(job));
  followBusy();
}

void ChatPanel::showAnswer(std::size_t turn, int side) {
  transcript_->showAnswer(turn, side, turns_[turn], *workspace_.model()->tokenizer(), sampling_->colour(), titleOf(side));
}

void ChatPanel::showDivergence() {
  const std::vector<TokenComparison> compared = turns_.empty() ? std::vector<TokenComparison>{} : turns_.back().answers[1].compared;
  strip_->setTokens(compared);
  const QString by = turns_.empty() ? QString() : turns_.back().answers[1].by;
  const QString whose = by.isEmpty() || by == titleOf(1) ? QString() : tr("&nbsp; of %1").arg(by.toHtmlEscaped());
  if (const auto summary = summarise(compared))
    divergence_text_->setText(
        tr("<b>Divergence</b>%5&nbsp; mean <b>%1</b>&nbsp; p95 <b>%2</b>&nbsp; max <b>%3</b> nat&nbsp; same top token <b>%4 %</b>")
            .arg(format_kl(summary->mean), format_kl(summary->p95), format_kl(summary->maximum))
            .arg(100 * summary->same_top, 0, 'f', 1)
            .arg(whose));
  else
    divergence_text_->setText(tr("<b>Divergence</b>"));
}

void ChatPanel::pointAt(std::size_t turn, int token) {
  if (turn >= turns_.size()) return popover_->hide();
  const ChatAnswer& b = turns_[turn].answers[1];
  const bool there = token >= 0 && std::size_t(token) < b.compared.size();
  if (turn == last()) strip_->setCurrent(there ? token : -1);
  TokenText* text = transcript_->text(turn, 1);
  text->setCurrent(there ? token : -1);
  if (!there) return popover_->hide();
  const TokenComparison& compared = b.compared[std::size_t(token)];
  const auto tokenizer = workspace_.model()->tokenizer();
  const auto name = [&](TokenId id) { return QString::fromStdString(tokenizer->decode({id}, false)).replace('\n', QStringLiteral("↵")); };
  std::vector<TokenPopover::Row> rows;
  std::vector<TokenId> listed;
  const auto probability = [](const std::vector<TokenComparison::Candidate>& top, TokenId id, bool& bound) {
    for (const auto& candidate : top)
      if (candidate.id == id) return candidate.probability;
    bound = true;
    return top.empty() ? 0.0 : top.back().probability;
  };
  const auto list = [&](TokenId id) {
    if (std::find(listed.begin(), listed.end(), id) != listed.end()) return;
    listed.push_back(id);
    TokenPopover::Row row;
    row.text = name(id);
    row.a = probability(compared.top_first, id, row.a_is_bound);
    row.b = probability(compared.top_second, id, row.b_is_bound);
    if (id == compared.id) {
      row.a = compared.probability_first;
      row.b = compared.probability_second;
      row.a_is_bound = row.b_is_bound = false;
    }
    rows.push_back(row);
  };
  list(compared.id);
  for (const auto& candidate : compared.top_first) list(candidate.id);
  for (const auto& candidate : compared.top_second) list(candidate.id);
  if (rows.size() > 7) rows.resize(7);
  const QRect box = text->rectOf(token);
  const QString side = turns_[turn].answers[0].forced ? tr("A") : tr("B");
  popover_->show(
      token, name(compared.id), compared, std::move(rows),
      (transcript_->turnWithFocus() == int(turn) ? tr("Space pins · Enter: %1 goes on from here in its own words")
                                                 : tr("Click, then Space pins and Enter lets %1 go on from here in its own words"))
          .arg(side),
      text->viewport()->mapToGlobal(box.bottomLeft() + QPoint(0, 8)));
}

void ChatPanel::followBusy() {
  const bool busy = worker_->busy();
  send_->setText(busy ? tr("Stop  Esc") : tr("Send  Enter"));
  send_->setEnabled(busy || input_->isEnabled());
  batch_->setReady(!busy && input_->isEnabled());
}

/// A run computes on the CPU, too; the lane of the chat does not wait for it.
void ChatPanel::followSharing() {
  const RunEntry* run = workspace_.runningRun();
  for (ChatSide* side : sides_)
    side->setSharing(run && side->device() == "cpu" ? tr("sharing the CPU with #%1, slower").arg(run->number) : QString());
}

/// Where a slot holds a run that cannot talk yet, one that can is offered in its place.
void ChatPanel::sayFailure(const QString& sentence) {
  Slot instead;
  for (const RunEntry& run : workspace_.runs())
    if (run.usable()) instead.run = run.number;
  for (const int side : {1, 0}) {
    if (workspace_.opened(side == 0 ? workspace_.slotA() : workspace_.slotB())) continue;
    return notice_->say(sentence, Notice::Tone::bad, tr("Take %1").arg(workspace_.slotTitle(instead)), [this, side, instead] {
      notice_->clear();
      side == 0 ? workspace_.setSlotA(instead) : workspace_.setSlotB(instead);
    });
  }
  notice_->say(sentence, Notice::Tone::bad);
}

bool ChatPanel::eventFilter(QObject* object, QEvent* event) {
  if (object == input_->viewport()) return takeDroppedFile(event);
  if (object == input_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (enter && !(key->modifiers() & Qt::ShiftModifier)) {
      send();
      return true;
    }
    if (key->key() == Qt::Key_Up && key->modifiers() == Qt::NoModifier && input_->toPlainText().isEmpty() && !turns_.empty()) {
      edit(last());
      return true;
    }
  }
  return QWidget::eventFilter(object, event);
}

/// A text file that is dropped on the box is read into it.
bool ChatPanel::takeDroppedFile(QEvent* event) {
  if (event->type() != QEvent::DragEnter && event->type() != QEvent::DragMove && event->type() != QEvent::Drop) return false;
  auto* drop = static_cast<QDropEvent*>(event);
  const QList<QUrl> urls = drop->mimeData()->urls();
  if (urls.isEmpty() || !urls.front().isLocalFile() || !input_->isEnabled()) return false;
  drop->acceptProposedAction();
  if (event->type() != QEvent::Drop) return true;
  const QString file = urls.front().toLocalFile();
  const TextFile read = read_text_file(file);
  if (!read.problem.isEmpty()) {
    notice_->say(read.problem, Notice::Tone::warning);
    return true;
  }
  input_->insertPlainText(read.text);
  input_->setFocus();
  return true;
}

void ChatPanel::showEvent(QShowEvent* event) {
  QWidget::showEvent(event);
  input_->setFocus();
}

void ChatPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  if (event->type() != QEvent::PaletteChange) return;
  for (std::size_t turn = 0; turn < turns_.size(); ++turn)
    if (!turns_[turn].answers[1].compared.empty()) showAnswer(turn, 1);
  if (!turns_.empty()) transcript_->setCut(turns_.back().first_read);
}

QWidget* make_chat_panel(Workspace& workspace, QWidget* parent) { return new ChatPanel(workspace, parent); }

}  // namespace lrc::app
