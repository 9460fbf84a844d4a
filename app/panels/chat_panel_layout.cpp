// What the chat panel is made of, and what it follows.
#include <QPlainTextEdit>
#include <QScrollArea>
#include <QShortcut>
#include <QVBoxLayout>
#include <utility>

#include "models/notebook.h"
#include "models/run_facts.h"
#include "panels/branch_box.h"
#include "panels/chat_history.h"
#include "panels/chat_panel.h"
#include "panels/chat_side.h"
#include "panels/chat_transcript.h"
#include "panels/divergence_strip.h"
#include "panels/panel_widgets.h"
#include "panels/prompt_preview.h"
#include "panels/sample_batch.h"
#include "panels/sampling_box.h"
#include "panels/token_text.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

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
  side_scroll->setFixedWidth(288);
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
  // The frame finds these by name and puts them into its menu.
  const auto act = [this](const char* name, const QString& text, const QString& keys, auto what) {
    auto* action = new QAction(text, this);
    action->setObjectName(name);
    action->setShortcut(QKeySequence(keys));
    action->setShortcutContext(Qt::WidgetWithChildrenShortcut);
    connect(action, &QAction::triggered, this, what);
    addAction(action);
  };
  act("newChatAction", tr("&New chat"), "Ctrl+N", [this] { clearChat(); });
  act("answerAgainAction", tr("&Answer again"), "Ctrl+R", [this] { regenerate(); });
  act("previousTurnAction", tr("&Previous turn"), "Ctrl+Up", [this] { goToTurn(-1); });
  act("nextTurnAction", tr("Ne&xt turn"), "Ctrl+Down", [this] { goToTurn(1); });
  act("bypassBranchAction", tr("&Branch of B on or bypassed"), "Ctrl+B", [this] { branch_->toggleBypass(); });
  act("chatModeAction", tr("Free, B follows A, A &follows B"), "Ctrl+Shift+M", [this] { sampling_->nextMode(); });
  auto* escape = new QShortcut(QKeySequence("Esc"), this);
  escape->setContext(Qt::WidgetWithChildrenShortcut);
  connect(escape, &QShortcut::activated, this, [this] {
    if (popover_->isVisible()) {
      transcript_->unpin();
      return popover_->hide();
    }
    if (editing_) return endEdit();
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
  input_->setPlaceholderText(tr("Message to both    Enter sends, Shift+Enter new line, ↑ edits the last"));
  input_->setFont(font_of_points(font(), 10));
  input_->setFixedHeight(2 * QFontMetrics(input_->font()).lineSpacing() + 12);
  input_->setTabChangesFocus(true);
  input_->installEventFilter(this);
  input_->viewport()->installEventFilter(this);
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
    ask(0, prompt);
  });
  connect(batch_, &SampleBatch::chosen, this, [this](const std::vector<ChatTurn>& turns) {
    if (worker_->busy()) return;
    history_->begin();  // what follows is a chat of its own
    open(turns);
  });
  connect(history_, &ChatHistory::chosen, this, [this](const std::vector<ChatTurn>& turns) {
    if (!worker_->busy()) open(turns);
  });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { followModel(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { followModel(); });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] { followSlots(); });
  connect(&workspace_, &Workspace::runsChanged, this, [this] { followSharing(); });
  const auto devices = [this] {
    for (ChatSide* side : sides_) side->setDevices(workspace_.devices());
  };
  connect(&workspace_, &Workspace::devicesChanged, this, devices);
  devices();
  for (ChatSide* side : sides_) connect(side, &ChatSide::deviceChanged, this, [this] { followSharing(); });
  followSharing();
  connect(sampling_, &SamplingBox::edited, this, [this] {
    Notebook::of(workspace_).setView("chatSampling", sampling_->toJson());
    preview();
  });
  connect(&Notebook::of(workspace_), &Notebook::viewsRestored, this,
          [this] { sampling_->fromJson(Notebook::of(workspace_).view("chatSampling")); });
  connect(sampling_, &SamplingBox::colourChanged, this, [this] {
    for (std::size_t turn = 0; turn < turns_.size(); ++turn)
      if (!turns_[turn].answers[1].compared.empty()) showAnswer(turn, 1);
  });
  connect(strip_, &DivergenceStrip::picked, this, [this](int token) {
    // The keys go on from there.
    transcript_->text(last(), 1)->setFocus();
    pointAt(last(), token);
  });
  connect(branch_, &BranchBox::changed, this, [this] {
    // In follow mode the last answer is scored again at once; in free mode the change is heard from the next answer on.
    if (!mayRescore() || turns_.back().answers[1].compared.empty()) return;
    if (worker_->busy() && !rescoring_) return;
    if (worker_->busy())
      rescore_again_ = true;
    else
      start(true);
  });
  connect(transcript_, &ChatTranscript::pointedAt, this, [this](std::size_t turn, int token) { pointAt(turn, token); });
  connect(transcript_, &ChatTranscript::regenerateAsked, this, [this] { regenerate(); });
  connect(transcript_, &ChatTranscript::editAsked, this, [this](std::size_t turn) { edit(turn); });
  connect(transcript_, &ChatTranscript::branchChosen, this, [this](std::size_t turn, std::size_t which) { chooseBranch(turn, which); });
  connect(transcript_, &ChatTranscript::continueAsked, this, [this](std::size_t turn, int token) { continueFrom(turn, token); });
  connect(transcript_, &ChatTranscript::promptChosen, this, [this](const QString& prompt) {
    input_->setPlainText(prompt);
    input_->setFocus();  // the prompts go
    send();
  });
  connect(worker_, &ChatWorker::loading, this, [this](int side) {
    const RunEntry* run = run_in(workspace_, side == 0 ? workspace_.slotA() : workspace_.slotB());
    const quint64 bytes = run ? run->manifest.file_bytes : workspace_.model()->checkpoint().file_bytes();
    sides_[std::size_t(side)]->setState(tr("loading weights, %1…").arg(format_megabytes(bytes)));
  });
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
    turns_.back().answers[std::size_t(side)].by = speakers_[std::size_t(side)];
    sides_[std::size_t(side)]->setSpeed(answer.tokens_per_second, answer.first_token_s);
    showAnswer(last(), side);
  });
  connect(worker_, &ChatWorker::compared, this, [this](int leader, const std::vector<TokenComparison>& tokens, double seconds) {
    if (turns_.empty()) return;
    auto& answers = turns_.back().answers;
    // Scored again with another branch, each side keeps its part.
    if (!answers[0].forced && !answers[1].forced) {
      ChatAnswer& followed = answers[leader == 0 ? 1 : 0];
      followed = answers[std::size_t(leader)];
      followed.forced = true;
    }
    const std::size_t follower = answers[0].forced ? 0 : 1;
    answers[1].compared = tokens;
    answers[follower].seconds = seconds;
    answers[follower].by = speakers_[follower];
    sides_[follower]->setSpeed(seconds > 0 ? double(tokens.size()) / seconds : 0, 0);
    for (int side = 0; side < 2; ++side) showAnswer(last(), side);
    showDivergence();
  });
  connect(worker_, &ChatWorker::comparedFree, this,
          [this](const std::vector<TokenComparison>& tokens, std::optional<std::size_t> parts_at) {
            if (turns_.empty()) return;
            turns_.back().answers[1].compared = tokens;
            turns_.back().answers[1].parts_at = parts_at;
            for (int side = 0; side < 2; ++side) showAnswer(last(), side);
            showDivergence();
          });
  connect(worker_, &ChatWorker::contextCut, this, [this](qulonglong first) {
    if (turns_.empty()) return;
    turns_.back().first_read = first;
    transcript_->setCut(first);
    if (first == 0) return;
    const std::size_t context = sampling_->context();
    notice_->say(
        first == 1
            ? tr("The first turn does not fit the context of %1 tokens any more; it is grey and not read.").arg(context)
            : tr("The first %1 turns do not fit the context of %2 tokens any more; they are grey and not read.").arg(first).arg(context));
  });
  connect(worker_, &ChatWorker::deviceLost, this, [this](int side, const QString& sentence) {
    sides_[std::size_t(side)]->setDevice("cpu");
    workspace_.banner(tr("%1 %2 goes on with the CPU; the conversation is kept.").arg(sentence, side == 0 ? tr("A") : tr("B")));
  });
  connect(worker_, &ChatWorker::memoryFull, this, [this](qulonglong bytes_per_token) {
    const std::size_t now = sampling_->context(), shorter = std::max<std::size_t>(64, now / 128 * 64);
    if (shorter >= now)
      return notice_->say(tr("There is not enough memory for this conversation; close other programs or choose a smaller model."),
                          Notice::Tone::bad);
    notice_->say(tr("There is not enough memory: at %1 tokens the keys and values of both sides take %2, at %3 tokens %4.")
                     .arg(now)
                     .arg(format_gibibytes(now * bytes_per_token))
                     .arg(shorter)
                     .arg(format_gibibytes(shorter * bytes_per_token)),
                 Notice::Tone::bad, tr("Use %1 tokens").arg(shorter), [this, shorter] {
                   sampling_->setContext(shorter);
                   regenerate();
                 });
  });
  connect(worker_, &ChatWorker::failed, this, [this](const QString& sentence) { sayFailure(sentence); });
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
    // The chat may be another one by now.
    if (std::exchange(rescore_again_, false) && mayRescore()) start(true);
  });
}

}  // namespace lrc::app
