#include <QKeyEvent>
#include <QPlainTextEdit>
#include <QScrollArea>
#include <QShortcut>
#include <QVBoxLayout>

#include "models/run_facts.h"
#include "panels/branch_box.h"
#include "panels/chat_history.h"
#include "panels/chat_side.h"
#include "panels/chat_transcript.h"
#include "panels/chat_worker.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/prompt_preview.h"
#include "panels/sample_batch.h"
#include "panels/sampling_box.h"
#include "panels/token_text.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class ChatPanel : public QWidget {
 public:
  ChatPanel(Workspace& workspace, QWidget* parent);

 protected:
  bool eventFilter(QObject* object, QEvent* event) override;
  void changeEvent(QEvent* event) override;
  void showEvent(QShowEvent* event) override;

 private:
  void build();
  void listen();
  QWidget* makeInput();
  void clearChat();
  void followModel();
  void followSlots();
  void send();
  void start(bool rescore);
  void regenerate();
  void showAnswer(std::size_t turn, int side);
  void showDivergence();
  void pointAt(std::size_t turn, int token);
  void followBusy();
  void preview();
  void open(const std::vector<ChatTurn>& turns);
  std::size_t last() const { return turns_.size() - 1; }

  Workspace& workspace_;
  ChatWorker* worker_;
  TitleControls* controls_;
  Notice* notice_;
  std::array<ChatSide*, 2> sides_;
  ChatTranscript* transcript_;
  QLabel* divergence_text_;
  DivergenceStrip* strip_;
  BranchBox* branch_;
  QPlainTextEdit* input_;
  QPushButton* send_;
  SamplingBox* sampling_;
  PromptPreview* preview_;
  SampleBatch* batch_;
  ChatHistory* history_;
  TokenPopover* popover_;
  std::vector<ChatTurn> turns_;
  bool rescoring_ = false, rescore_again_ = false;
};

ChatPanel::ChatPanel(Workspace& workspace, QWidget* parent)
    : QWidget(parent), workspace_(workspace), worker_(new ChatWorker(workspace, this)) {
  setObjectName("chatPanel");
  setWindowTitle(tr("Chat"));
  build();
  listen();
  followModel();
}

void ChatPanel::build() {
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  auto* fresh = new QPushButton(tr("New chat"), this);
  fresh->setObjectName("chatNew");
  fresh->setToolTip(tr("Forgets the conversation  Ctrl+N"));
  controls_->add(fresh);
  layout->addWidget(controls_);
  notice_ = new Notice(this);
  notice_->setObjectName("chatNotice");
  layout->addWidget(notice_);
  auto* halves = new QHBoxLayout;
  halves->setSpacing(16);
  layout->addLayout(halves, 1);
  auto* main = new QVBoxLayout;
  main->setSpacing(8);
  halves->addLayout(main, 1);

  auto* heads = new QHBoxLayout;
  heads->setSpacing(16);
  for (int side = 0; side < 2; ++side) {
    sides_[std::size_t(side)] = new ChatSide(side, this);
    heads->addWidget(sides_[std::size_t(side)], 1);
  }
  main->addLayout(heads);
  transcript_ = new ChatTranscript(this);
  main->addWidget(transcript_, 1);

  auto* tools = new QHBoxLayout;
  tools->setSpacing(16);
  auto* divergence = new QVBoxLayout;
  divergence->setSpacing(4);
  divergence_text_ = new QLabel(this);
  divergence_text_->setObjectName("divergenceText");
  divergence_text_->setTextFormat(Qt::RichText);
  divergence_text_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Fixed);
  strip_ = new DivergenceStrip(this);
  divergence->addWidget(divergence_text_);
  divergence->addWidget(strip_);
  divergence->addStretch(1);
  tools->addLayout(divergence, 1);
  branch_ = new BranchBox(this);
  tools->addWidget(branch_, 1, Qt::AlignTop);
  main->addLayout(tools);
  main->addWidget(makeInput());

  sampling_ = new SamplingBox(this);
  auto* side_scroll = new QScrollArea(this);
  side_scroll->setObjectName("samplingScroll");
  side_scroll->setFocusPolicy(Qt::NoFocus);
  side_scroll->setFrameShape(QFrame::NoFrame);
  side_scroll->setWidgetResizable(true);
  side_scroll->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  side_scroll->setFixedWidth(264);
  auto* side = new QWidget(side_scroll);
  auto* side_column = new QVBoxLayout(side);
  side_column->setContentsMargins(0, 0, 8, 0);
  side_column->setSpacing(8);
  side_column->addWidget(sampling_);
  const auto section = [&](const QString& title, QWidget* content) {
    auto* folding = new FoldingSection(title, side);
    folding->body()->addWidget(content);
    side_column->addWidget(folding);
    return folding;
  };
  preview_ = new PromptPreview(workspace_, side);
  section(tr("As the model reads it"), preview_)->setOpen(false);
  batch_ = new SampleBatch(side);
  section(tr("Sample prompts"), batch_);
  history_ = new ChatHistory(workspace_, side);
  section(tr("History"), history_);
  side_column->addStretch(1);
  side_scroll->setWidget(side);
  halves->addWidget(side_scroll);
  popover_ = new TokenPopover(this);
  popover_->hide();

  connect(fresh, &QPushButton::clicked, this, [this] { clearChat(); });
  const auto shortcut = [this](const QString& keys, auto action) {
    auto* made = new QShortcut(QKeySequence(keys), this);
    made->setContext(Qt::WidgetWithChildrenShortcut);
    connect(made, &QShortcut::activated, this, action);
  };
  shortcut("Ctrl+N", [this] { clearChat(); });
  shortcut("Ctrl+R", [this] { regenerate(); });
  shortcut("Ctrl+B", [this] { branch_->toggleBypass(); });
  shortcut("Esc", [this] {
    if (popover_->isVisible()) return popover_->hide();
    batch_->stop();
    worker_->stop();
  });
}

QWidget* ChatPanel::makeInput() {
  auto* box = new QWidget(this);
  auto* row = new QHBoxLayout(box);
  row->setContentsMargins(0, 0, 0, 0);
  row->setSpacing(8);
  input_ = new QPlainTextEdit(box);
  input_->setObjectName("chatInput");
  input_->setAccessibleName(tr("Message to both"));
  input_->setPlaceholderText(tr("Message to both    Enter sends, Shift+Enter new line"));
  input_->setFont(font_of_points(font(), 10));
  input_->setFixedHeight(2 * QFontMetrics(input_->font()).lineSpacing() + 12);
  input_->setTabChangesFocus(true);
  input_->installEventFilter(this);
  send_ = new QPushButton(tr("Send"), box);
  send_->setObjectName("chatSend");
  send_->setMinimumWidth(96);
  send_->setMinimumHeight(input_->height());
  row->addWidget(input_, 1);
  row->addWidget(send_);
  connect(send_, &QPushButton::clicked, this, [this] {
    if (worker_->busy())
      worker_->stop();
    else
      send();
  });
  return box;
}

void ChatPanel::listen() {
  connect(input_, &QPlainTextEdit::textChanged, this, [this] { preview(); });
  connect(sampling_->findChild<QComboBox*>("chatTemplate"), &QComboBox::currentIndexChanged, this, [this] { preview(); });
  connect(batch_, &SampleBatch::promptAsked, this, [this](const QString& prompt) {
    clearChat();
    turns_.push_back({prompt, {}});
    transcript_->addTurn(prompt);
    start(false);
  });
  connect(batch_, &SampleBatch::chosen, this, [this](const std::vector<ChatTurn>& turns) { open(turns); });
  connect(history_, &ChatHistory::chosen, this, [this](const std::vector<ChatTurn>& turns) {
    if (!worker_->busy()) open(turns);
  });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { followModel(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { followModel(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { followSlots(); });
  const auto devices = [this] {
    for (ChatSide* side : sides_) side->setDevices(workspace_.devices());
  };
  connect(&workspace_, &Workspace::devicesChanged, this, devices);
  devices();
  connect(sampling_, &SamplingBox::colourChanged, this, [this] {
    for (std::size_t turn = 0; turn < turns_.size(); ++turn)
      if (!turns_[turn].answers[1].compared.empty()) showAnswer(turn, 1);
  });
  connect(strip_, &DivergenceStrip::picked, this, [this](int token) { pointAt(last(), token); });
  connect(branch_, &BranchBox::changed, this, [this] {
    // In follow mode the last answer is scored again at once; in free mode the change is heard from the next answer on.
    if (turns_.empty() || turns_.back().answers[1].compared.empty()) return;
    if (worker_->busy() && !rescoring_) return;
    if (worker_->busy())
      rescore_again_ = true;
    else
      start(true);
  });
  connect(transcript_, &ChatTranscript::pointedAt, this, [this](std::size_t turn, int token) { pointAt(turn, token); });
  connect(transcript_, &ChatTranscript::regenerateAsked, this, [this] { regenerate(); });
  connect(transcript_, &ChatTranscript::promptChosen, this, [this](const QString& prompt) {
    input_->setPlainText(prompt);
    send();
  });
  connect(worker_, &ChatWorker::loading, this, [this](int side) { sides_[std::size_t(side)]->setState(tr("loading weights…")); });
  connect(worker_, &ChatWorker::loaded, this, [this](int side, qulonglong bytes) {
    sides_[std::size_t(side)]->setState({});
    sides_[std::size_t(side)]->setMemory(bytes);
  });
  connect(worker_, &ChatWorker::tokenArrived, this, [this](int side, int, const QString& text) {
    if (turns_.empty()) return;
    ChatAnswer& answer = turns_.back().answers[std::size_t(side)];
    answer.streaming = true;
    answer.text += text;
    transcript_->append(side, text);
  });
  connect(worker_, &ChatWorker::answered, this, [this](int side, const ChatAnswer& answer) {
    if (turns_.empty()) return;
    turns_.back().answers[std::size_t(side)] = answer;
    sides_[std::size_t(side)]->setSpeed(answer.tokens_per_second, answer.first_token_s);
    showAnswer(last(), side);
  });
  connect(worker_, &ChatWorker::compared, this, [this](const std::vector<TokenComparison>& tokens, double seconds) {
    if (turns_.empty()) return;
    ChatAnswer& b = turns_.back().answers[1];
    b = turns_.back().answers[0];
    b.compared = tokens;
    b.seconds = seconds;
    sides_[1]->setSpeed(seconds > 0 ? double(tokens.size()) / seconds : 0, 0);
    showAnswer(last(), 1);
    showDivergence();
  });
  connect(worker_, &ChatWorker::deviceLost, this, [this](int side, const QString& sentence) {
    sides_[std::size_t(side)]->setDevice("cpu");
    workspace_.banner(tr("%1 %2 goes on with the CPU; the conversation is kept.").arg(sentence, side == 0 ? tr("A") : tr("B")));
  });
  connect(worker_, &ChatWorker::failed, this, [this](const QString& sentence) { notice_->say(sentence, Notice::Tone::bad); });
  connect(worker_, &ChatWorker::finished, this, [this] {
    if (!turns_.empty())
      for (int side = 0; side < 2; ++side) {
        ChatAnswer& answer = turns_.back().answers[std::size_t(side)];
        sides_[std::size_t(side)]->setState({});
        if (!answer.finished && answer.streaming) answer.ending = tr("stopped");
        answer.streaming = false;
        answer.finished = true;
        showAnswer(last(), side);
      }
    const bool answered = !rescoring_ && !turns_.empty();
    rescoring_ = false;
    if (answered) history_->keep(turns_);
    followBusy();
    if (answered && batch_->running()) return batch_->take(turns_.back());
    if (rescore_again_) {
      rescore_again_ = false;
      start(true);
    }
  });
}

void ChatPanel::followModel() {
  worker_->forgetSessions();
  clearChat();
  const bool there = workspace_.hasModel();
  input_->setEnabled(there);
  notice_->clear();
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

void ChatPanel::followSlots() {
  sides_[0]->setTitle(workspace_.slotTitle(workspace_.slotA()));
  sides_[1]->setTitle(workspace_.slotTitle(workspace_.slotB()));
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  std::size_t rank = 0;
  if (b)
    for (const LayerRecord& record : b->manifest.layers) rank = std::max(rank, record.rank);
  const int blocks = workspace_.hasModel() ? int(workspace_.model()->config().blocks) : 0;
  branch_->setBranch(blocks, int(rank), b == nullptr ? tr("B is the original: it has no branch.") : tr("This run’s method has no branch."));
}

void ChatPanel::clearChat() {
  worker_->stop();
  turns_.clear();
  popover_->hide();
  transcript_->clear(workspace_.hasModel());
  history_->begin();
  showDivergence();
}

void ChatPanel::preview() {
  std::vector<ChatTurn> turns = turns_;
  if (const QString typed = input_->toPlainText(); !typed.trimmed().isEmpty()) turns.push_back({typed, {}});
  preview_->show(sampling_->form(), std::move(turns));
}

void ChatPanel::open(const std::vector<ChatTurn>& turns) {
  worker_->stop();
  popover_->hide();
  transcript_->clear(false);
  turns_ = turns;
  for (std::size_t turn = 0; turn < turns_.size(); ++turn) {
    transcript_->addTurn(turns_[turn].prompt);
    for (int side = 0; side < 2; ++side) showAnswer(turn, side);
  }
  showDivergence();
}

void ChatPanel::send() {
  const QString prompt = input_->toPlainText();
  if (prompt.trimmed().isEmpty() || !workspace_.hasModel() || !input_->isEnabled()) return;
  if (worker_->busy()) {
    notice_->say(tr("The last message is still being answered; this one stays in the box. Esc stops the answer."));
    return;
  }
  notice_->clear();
  input_->clear();
  turns_.push_back({prompt, {}});
  transcript_->addTurn(prompt);
  start(false);
}

void ChatPanel::regenerate() {
  if (turns_.empty() || worker_->busy()) return;
  turns_.back().answers = {};
  transcript_->emptyLast();
  start(false);
}

void ChatPanel::start(bool rescore) {
  notice_->clear();
  popover_->hide();
  rescoring_ = rescore;
  ChatWorker::Job job;
  job.turns = turns_;
  job.mode = batch_->running() ? ChatMode::b_follows_a : sampling_->mode();
  job.form = sampling_->form();
  job.sampling = sampling_->sampling();
  job.max_tokens = sampling_->maxTokens();
  job.branch = branch_->control();
  job.sides = {workspace_.slotA(), workspace_.slotB()};
  job.devices = {sides_[0]->device(), sides_[1]->device()};
  job.rescore = rescore;
  if (!rescore) strip_->setTokens({});
  worker_->start(std::move(job));
  followBusy();
}

void ChatPanel::showAnswer(std::size_t turn, int side) {
  transcript_->showAnswer(turn, side, turns_[turn].answers[std::size_t(side)], *workspace_.model()->tokenizer(), sampling_->colour());
}

void ChatPanel::showDivergence() {
  const std::vector<TokenComparison> compared = turns_.empty() ? std::vector<TokenComparison>{} : turns_.back().answers[1].compared;
  strip_->setTokens(compared);
  if (const auto summary = summarise(compared))
    divergence_text_->setText(tr("<b>Divergence</b>&nbsp;&nbsp; mean <b>%1</b>&nbsp;&nbsp; p95 <b>%2</b>&nbsp;&nbsp; max <b>%3</b> "
                                 "nat&nbsp;&nbsp; same top token <b>%4 %</b>")
                                  .arg(format_kl(summary->mean), format_kl(summary->p95), format_kl(summary->maximum))
                                  .arg(100 * summary->same_top, 0, 'f', 1));
  else
    divergence_text_->setText(tr("<b>Divergence</b>"));
}

void ChatPanel::pointAt(std::size_t turn, int token) {
  if (turn >= turns_.size()) return popover_->hide();
  const ChatAnswer& b = turns_[turn].answers[1];
  if (turn == last()) strip_->setCurrent(token);
  if (token < 0 || std::size_t(token) >= b.compared.size()) return popover_->hide();
  TokenText* text = transcript_->text(turn, 1);
  text->setCurrent(token);
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
  popover_->show(token, name(compared.id), compared, std::move(rows), text->viewport()->mapToGlobal(box.bottomLeft() + QPoint(0, 8)));
}

void ChatPanel::followBusy() {
  const bool busy = worker_->busy();
  send_->setText(busy ? tr("Stop  Esc") : tr("Send  Enter"));
  send_->setEnabled(busy || input_->isEnabled());
  batch_->setReady(!busy && input_->isEnabled());
}

bool ChatPanel::eventFilter(QObject* object, QEvent* event) {
  if (object == input_ && event->type() == QEvent::KeyPress) {
    const auto* key = static_cast<QKeyEvent*>(event);
    const bool enter = key->key() == Qt::Key_Return || key->key() == Qt::Key_Enter;
    if (enter && !(key->modifiers() & Qt::ShiftModifier)) {
      send();
      return true;
    }
    if (key->key() == Qt::Key_Up && input_->toPlainText().isEmpty() && !turns_.empty()) {
      input_->setPlainText(turns_.back().prompt);
      input_->moveCursor(QTextCursor::End);
      return true;
    }
  }
  return QWidget::eventFilter(object, event);
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
}

}  // namespace

QWidget* make_chat_panel(Workspace& workspace, QWidget* parent) { return new ChatPanel(workspace, parent); }

}  // namespace lrc::app
