#include <QClipboard>
#include <QComboBox>
#include <QDesktopServices>
#include <QFileDialog>
#include <QFormLayout>
#include <QGuiApplication>
#include <QLineEdit>
#include <QProgressBar>
#include <QScrollArea>
#include <QShortcut>
#include <QStorageInfo>
#include <QTimer>
#include <QUrl>
#include <QVBoxLayout>
#include <map>

#include "models/export_check.h"
#include "models/run_facts.h"
#include "panels/check_row.h"
#include "panels/export_targets.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "run/export_run.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString text_of(std::string_view text) { return QString::fromUtf8(text.data(), qsizetype(text.size())); }

class ExportPanel : public QWidget {
 public:
  ExportPanel(Workspace& workspace, QWidget* parent);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void buildTargets(QHBoxLayout* columns);
  void buildMiddle(QHBoxLayout* columns);
  void buildResult(QHBoxLayout* columns);
  void check();  ///< asks for the preflight of every target
  void show();   ///< of the target chosen
  void showOutcome();
  void fix();
  void write();
  void followFolder();
  ExportOptions options() const;
  const Exporter* target() const { return targets_->current(); }
  const Preflight* preflight() const;
  bool showFixing();                          ///< the run that mends the refusals is on its way
  std::optional<Recipe> fixedRecipe() const;  ///< B's, with what refuses taken out; nothing where this model cannot be solved so

  Workspace& workspace_;
  TitleControls* controls_;
  Notice* empty_;
  QWidget* body_;
  ExportTargets* targets_;
  QLabel *heading_, *consumers_, *computes_title_, *size_, *space_, *why_not_, *verify_title_;
  Notice* verdict_;
  QWidget* checks_;
  QVBoxLayout* checks_layout_;
  QLabel* computes_;
  QLabel* verified_;
  QComboBox *base_type_, *pad_;
  QWidget* options_;
  QLineEdit* folder_;
  QPushButton *export_, *stop_, *open_folder_, *copy_;
  QProgressBar* progress_;
  QLabel* files_;
  QLineEdit* command_;
  std::map<std::string, Preflight> preflights_;
  std::optional<ExportResult> result_;
  int fixing_ = 0;
  bool writing_ = false;
};

ExportPanel::ExportPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("exportPanel");
  setWindowTitle(tr("Export"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  auto* again = new QPushButton(tr("Check again"), this);
  again->setObjectName("exportCheckAgain");
  controls_->add(again);
  layout->addWidget(controls_);
  empty_ = new Notice(this);
  layout->addWidget(empty_);
  body_ = new QWidget(this);
  auto* columns = new QHBoxLayout(body_);
  columns->setContentsMargins(0, 0, 0, 0);
  columns->setSpacing(16);
  buildTargets(columns);
  buildMiddle(columns);
  buildResult(columns);
  layout->addWidget(body_, 1);
  layout->addStretch(0);

  connect(again, &QPushButton::clicked, this, [this] { check(); });
  connect(&workspace_, &Workspace::runProgress, this, [this](int number) {
    if (number == fixing_) showFixing();
  });
  connect(&workspace_, &Workspace::runsChanged, this, [this] {
    if (fixing_ > 0) show();
  });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] {
    result_.reset();
    followFolder();
    check();
  });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { check(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { check(); });
  auto* enter = new QShortcut(QKeySequence("Ctrl+Return"), this);
  enter->setContext(Qt::WidgetWithChildrenShortcut);
  connect(enter, &QShortcut::activated, this, [this] {
    if (export_->isEnabled()) write();
  });
  followFolder();
  check();
}

void ExportPanel::buildTargets(QHBoxLayout* columns) {
  targets_ = new ExportTargets(preflights_, body_);
  columns->addWidget(targets_);
  connect(targets_, &QListWidget::currentRowChanged, this, [this] {
    result_.reset();
    followFolder();
    show();
  });
}

void ExportPanel::buildMiddle(QHBoxLayout* columns) {
  auto* column = new QVBoxLayout;
  column->setSpacing(8);
  auto* head = new QHBoxLayout;
  head->setSpacing(8);
  heading_ = new QLabel(body_);
  heading_->setFont(font_of_points(font(), 11, true));
  consumers_ = make_dim_label({}, body_);
  consumers_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  head->addWidget(heading_);
  head->addWidget(consumers_, 1);
  column->addLayout(head);
  verdict_ = new Notice(body_);
  verdict_->setObjectName("preflightVerdict");
  verdict_->button()->setObjectName("fixAll");
  column->addWidget(verdict_);
  auto* scroll = new QScrollArea(body_);
  scroll->setObjectName("preflightList");
  scroll->setAccessibleName(tr("Findings"));
  scroll->setWidgetResizable(true);
  checks_ = new QWidget(scroll);
  checks_->setBackgroundRole(QPalette::Base);
  checks_->setAutoFillBackground(true);
  checks_layout_ = new QVBoxLayout(checks_);
  checks_layout_->setContentsMargins(0, 0, 0, 0);
  checks_layout_->setSpacing(0);
  scroll->setWidget(checks_);
  column->addWidget(scroll, 1);
  computes_title_ = new QLabel(tr("<b>What the target computes</b>"), body_);
  column->addWidget(computes_title_);
  computes_ = new QLabel(body_);
  computes_->setObjectName("targetComputes");
  computes_->setTextFormat(Qt::RichText);
  computes_->setWordWrap(true);
  computes_->setMargin(8);
  computes_->setBackgroundRole(QPalette::Base);
  computes_->setAutoFillBackground(true);
  computes_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(computes_);
  verify_title_ = new QLabel(body_);
  column->addWidget(verify_title_);
  verified_ = new QLabel(body_);
  verified_->setObjectName("verifyList");
  verified_->setTextFormat(Qt::RichText);
  verified_->setWordWrap(true);
  verified_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(verified_);
  columns->addLayout(column, 1);
}

void ExportPanel::buildResult(QHBoxLayout* columns) {
  auto* side = new QWidget(body_);
  side->setFixedWidth(308);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(8);
  options_ = new QWidget(side);
  auto* form = new QFormLayout(options_);
  form->setContentsMargins(0, 0, 0, 0);
  form->setVerticalSpacing(4);
  base_type_ = new QComboBox(options_);
  base_type_->setObjectName("exportBaseType");
  base_type_->addItem("Q4_0", "q4_0");
  base_type_->addItem("Q4_1", "q4_1");
  pad_ = new QComboBox(options_);
  pad_->setObjectName("exportPadRank");
  pad_->addItem(tr("padded to multiples of 64"), 64);
  pad_->addItem(tr("as solved"), 1);
  form->addRow(tr("Base type"), base_type_);
  form->addRow(tr("Ranks"), pad_);
  column->addWidget(options_);
  auto* row = new QHBoxLayout;
  row->setSpacing(4);
  auto* label = make_dim_label(tr("&Folder"), side);
  folder_ = new QLineEdit(side);
  folder_->setObjectName("exportFolder");
  folder_->setAccessibleName(tr("Folder"));
  label->setBuddy(folder_);
  auto* browse = new IconButton("folder", tr("Choose the folder"), side);
  browse->setObjectName("exportBrowse");
  row->addWidget(label);
  row->addWidget(folder_, 1);
  row->addWidget(browse);
  column->addLayout(row);
  size_ = new QLabel(side);
  size_->setObjectName("exportSize");
  size_->setTextFormat(Qt::RichText);
  space_ = make_dim_label({}, side);
  column->addWidget(size_);
  column->addWidget(space_);
  files_ = new QLabel(side);
  files_->setObjectName("exportFiles");
  files_->setTextFormat(Qt::RichText);
  files_->setWordWrap(true);
  files_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(files_);
  command_ = new QLineEdit(side);
  command_->setObjectName("loadCommand");
  command_->setAccessibleName(tr("Load it with"));
  command_->setReadOnly(true);
  command_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  column->addWidget(command_);
  auto* tools = new QHBoxLayout;
  tools->setSpacing(8);
  copy_ = new QPushButton(tr("Copy"), side);
  copy_->setObjectName("loadCommandCopy");
  open_folder_ = new QPushButton(tr("Open folder"), side);
  open_folder_->setObjectName("exportOpenFolder");
  tools->addWidget(copy_);
  tools->addWidget(open_folder_);
  tools->addStretch(1);
  column->addLayout(tools);
  column->addStretch(1);
  progress_ = new QProgressBar(side);
  progress_->setObjectName("exportProgress");
  progress_->setAccessibleName(tr("Writing"));
  column->addWidget(progress_);
  auto* buttons = new QHBoxLayout;
  buttons->setSpacing(8);
  export_ = new QPushButton(tr("Export and verify"), side);
  export_->setObjectName("exportButton");
  export_->setMinimumHeight(30);
  export_->setFont(font_of_points(font(), 9, true));
  stop_ = new QPushButton(tr("Stop"), side);
  stop_->setObjectName("exportStop");
  stop_->setMinimumHeight(30);
  buttons->addWidget(export_, 1);
  buttons->addWidget(stop_);
  column->addLayout(buttons);
  why_not_ = new QLabel(side);
  why_not_->setObjectName("exportWhyNot");
  why_not_->setWordWrap(true);
  why_not_->setAlignment(Qt::AlignHCenter);
  column->addWidget(why_not_);
  columns->addWidget(side);

  connect(base_type_, &QComboBox::currentIndexChanged, this, [this] { check(); });
  connect(pad_, &QComboBox::currentIndexChanged, this, [this] { check(); });
  connect(folder_, &QLineEdit::textChanged, this, [this] { show(); });
  connect(browse, &QToolButton::clicked, this, [this] {
    const QString chosen = QFileDialog::getExistingDirectory(this, tr("Folder of the export"), folder_->text());
    if (!chosen.isEmpty()) folder_->setText(chosen);
  });
  connect(export_, &QPushButton::clicked, this, [this] { write(); });
  connect(stop_, &QPushButton::clicked, this, [this] {
    workspace_.runLane().cancel("export");
    writing_ = false;
    show();
  });
  connect(copy_, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(command_->text()); });
  connect(open_folder_, &QPushButton::clicked, this, [this] { QDesktopServices::openUrl(QUrl::fromLocalFile(folder_->text())); });
}

const Preflight* ExportPanel::preflight() const {
  const Exporter* exporter = target();
  const auto found = exporter ? preflights_.find(std::string(exporter->name)) : preflights_.end();
  return found == preflights_.end() ? nullptr : &found->second;
}

ExportOptions ExportPanel::options() const {
  return {base_type_->currentData().toString().toStdString(), std::size_t(pad_->currentData().toUInt())};
}

void ExportPanel::followFolder() {
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const Exporter* exporter = target();
  if (b && exporter) folder_->setText(QString::fromStdString((b->folder / "export" / std::string(exporter->name)).string()));
}

void ExportPanel::check() {
  preflights_.clear();
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const auto opened = b && b->usable() ? workspace_.opened(workspace_.slotB()) : std::nullopt;
  if (!opened) return show();
  workspace_.queryLane().submit<std::vector<Preflight>>(
      "preflight", this, [opened = *opened, chosen = options()](Progress&, std::stop_token) { return preflight_of(opened, chosen); },
      [this](std::vector<Preflight> all) {
        for (Preflight& one : all) preflights_[one.exporter] = std::move(one);
        show();
      },
      [this](const Error& error) {
        show();
        empty_->say(QString::fromUtf8(error.what()), Notice::Tone::bad);
      });
  show();
}

void ExportPanel::show() {
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  controls_->setContext(b ? tr("B: %1").arg(workspace_.slotTitle(workspace_.slotB())) : QString());
  empty_->clear();
  if (!workspace_.hasModel())
    empty_->say(tr("Open a model and run a recipe; what it makes is exported here."));
  else if (b == nullptr)
    empty_->say(tr("B is the original: put a run into slot B to export it."));
  else if (!b->usable())
    empty_->say(tr("B is not finished: %1 of %2 layers are solved.").arg(b->manifest.layers.size()).arg(b->manifest.layers_total));
  body_->setVisible(b != nullptr && b->usable());
  const Exporter* exporter = target();
  const Preflight* found = preflight();
  if (exporter == nullptr || b == nullptr) return;
  const Colours& c = colours();
  heading_->setText(text_of(exporter->title));
  consumers_->setText(tr("for %1").arg(text_of(exporter->consumers)));
  options_->setVisible(exporter->name == "gguf");
  targets_->viewport()->update();
  while (QLayoutItem* item = checks_layout_->takeAt(0)) {
    delete item->widget();
    delete item;
  }
  const bool ready = found && found->problem.isEmpty();
  computes_->setVisible(ready);
  computes_title_->setVisible(ready);
  if (!found)
    verdict_->say(tr("Checking…"));
  else if (!found->problem.isEmpty())
    verdict_->say(found->problem.toHtmlEscaped(), Notice::Tone::bad);
  if (ready) {
    const bool refused = found->count(CheckStatus::refused) > 0;
    QString cost;
    QString fix_button;
    const bool fixing = showFixing();
    if (found->fixable() && !fixing) {
      if (const auto recipe = fixedRecipe()) {
        cost = tr("≈ %1").arg(format_duration(forecast(*recipe, *workspace_.model()).seconds));
        fix_button = tr("Solve again for this target");
      }
    }
    if (!fixing)
      verdict_->say(verdict(*found) + (cost.isEmpty() ? QString() : ' ' + tr("Solving again for this target takes %1.").arg(cost)),
                    refused                                  ? Notice::Tone::bad
                    : found->count(CheckStatus::warning) > 0 ? Notice::Tone::warning
                                                             : Notice::Tone::good,
                    fix_button, [this] { fix(); });
    for (const Check& each : found->checks) {
      const bool fixable = !fix_button.isEmpty() && !each.fix_id.empty() && each.status != CheckStatus::ok;
      checks_layout_->addWidget(new CheckRow(each, cost, fixable ? std::function<void()>([this] { fix(); }) : nullptr, checks_));
    }
    checks_layout_->addStretch(1);
    QString rows = tr("<tr><td></td><td style='padding-right:16px'><b>%1, here</b></td><td><b>there</b></td></tr>")
                       .arg(workspace_.slotTitle(workspace_.slotB()).toHtmlEscaped());
    for (const ArithmeticRow& row : found->arithmetic)
      rows +=
          QString(
              "<tr><td style='padding-right:16px; color:%1'>%2</td><td style='padding-right:16px'>%3</td><td style='color:%4'>%5</td></tr>")
              .arg(c.dim.name(), QString::fromStdString(row.what).toHtmlEscaped(), QString::fromStdString(row.here).toHtmlEscaped(),
                   row.here == row.there ? c.text.name() : c.warn.name(), QString::fromStdString(row.there).toHtmlEscaped());
    computes_->setText("<table cellpadding='1'>" + rows + "</table>");
    size_->setText(tr("Forecast <b>%1</b>").arg(format_megabytes(found->bytes)));
  } else {
    size_->clear();
  }
  QString why;
  const QStorageInfo disk(
      QFileInfo(QFileInfo(folder_->text()).exists() ? folder_->text() : QString::fromStdString(workspace_.runsFolder().string()))
          .absoluteFilePath());
  if (disk.isValid()) space_->setText(tr("%1 free on the disk").arg(format_gibibytes(quint64(disk.bytesAvailable()))));
  if (!ready)
    why = found ? found->problem : QString();
  else if (found->count(CheckStatus::refused) > 0)
    why = tr("Waiting for %1 to be fixed")
              .arg(found->count(CheckStatus::refused) == 1 ? tr("1 refusal") : tr("%1 refusals").arg(found->count(CheckStatus::refused)));
  else if (folder_->text().isEmpty())
    why = tr("Name a folder");
  QPalette red = why_not_->palette();
  red.setColor(QPalette::WindowText, c.bad);
  why_not_->setPalette(red);
  why_not_->setText(why);
  export_->setEnabled(ready && why.isEmpty() && !writing_);
  stop_->setVisible(writing_);
  progress_->setVisible(writing_);
  showOutcome();
}

void ExportPanel::showOutcome() {
  const bool done = result_.has_value();
  files_->setVisible(done);
  command_->setVisible(done);
  copy_->setVisible(done);
  open_folder_->setVisible(done);
  const Colours& c = colours();
  verify_title_->setText(done ? (result_->verified ? tr("<b>Written and proven</b>") : tr("<b>Written, not proven</b>"))
                              : tr("<b>After writing</b>"));
  QStringList facts;
  if (done)
    for (const std::string& fact : result_->verified_facts)
      facts << QStringLiteral("<span style='color:%1'>✓</span> %2").arg(c.ok.name(), QString::fromStdString(fact).toHtmlEscaped());
  else
    facts << tr(
        "Every tensor is read back from the files and compared with the run, bit for bit. Files that are not equal keep the ending "
        ".unverified.");
  verified_->setText(facts.join("<br>"));
  if (!done) return;
  QStringList lines;
  for (const ExportedFile& file : result_->files)
    lines << QString("%1 &nbsp;<b>%2</b><br><span style='color:%3'>sha256 %4…</span>")
                 .arg(QString::fromStdString(file.path.filename().string()).toHtmlEscaped(), format_megabytes(file.bytes), c.dim.name(),
                      QString::fromStdString(file.sha256).left(16));
  files_->setText(lines.join("<br>"));
  command_->setText(QString::fromStdString(result_->command));
  command_->setCursorPosition(0);
  command_->setToolTip(command_->text());
}

std::optional<Recipe> ExportPanel::fixedRecipe() const {
  const RunEntry* b = run_in(workspace_, workspace_.slotB());
  const Exporter* exporter = target();
  if (b == nullptr || exporter == nullptr) return {};
  Recipe recipe = recipe_for_export(b->manifest.recipe, *exporter);
  // Groups that the target likes best need not divide this model's rows; the run's own did.
  if (problem_of(recipe, *workspace_.model())) recipe.weight.group_size = b->manifest.recipe.weight.group_size;
  if (problem_of(recipe, *workspace_.model())) return {};
  return recipe;
}

bool ExportPanel::showFixing() {
  const RunEntry* run = fixing_ > 0 ? workspace_.findRun(fixing_) : nullptr;
  using State = RunEntry::State;
  if (run == nullptr || run->usable() || (run->state != State::queued && run->state != State::running)) return false;
  const QString far = run->state == State::queued ? tr("queued") : tr("%1 %").arg(qRound(100 * run->progress.fraction));
  verdict_->say(tr("%1 is on its way: %2. When it is done it stands in slot B and is checked here.")
                    .arg(workspace_.slotTitle({fixing_}).toHtmlEscaped(), far),
                Notice::Tone::plain, tr("Watch it"), [this] { workspace_.setPerspective(Perspective::run); });
  return true;
}

void ExportPanel::fix() {
  const auto recipe = fixedRecipe();
  if (!recipe) return;
  workspace_.editDraft(tr("Recipe for %1").arg(text_of(target()->title)), *recipe);
  const int number = workspace_.startRun();
  fixing_ = number;
  show();
  if (number > 0)
    workspace_.log(LogLevel::info,
                   tr("%1 is queued; when it is done it stands in slot B and is checked here").arg(workspace_.slotTitle({number})));
}

void ExportPanel::write() {
  const auto opened = workspace_.opened(workspace_.slotB());
  const Exporter* exporter = target();
  if (!opened || exporter == nullptr || writing_) return;
  writing_ = true;
  result_.reset();
  progress_->setRange(0, 1000);
  progress_->setValue(0);
  show();
  workspace_.runLane().submit<ExportResult>(
      "export", this,
      [opened = *opened, exporter, folder = std::filesystem::path(folder_->text().toStdString()), chosen = options()](
          Progress& progress, std::stop_token stop) {
        RunExport run(opened);
        return exporter->write(run.source(), folder, chosen, progress, stop);
      },
      [this](ExportResult result) {
        writing_ = false;
        result_ = std::move(result);
        workspace_.log(LogLevel::info, tr("Exported to %1").arg(folder_->text()));
        show();
      },
      [this](const Error& error) {
        writing_ = false;
        show();
        if (error.kind() != ErrorKind::stopped) verdict_->say(QString::fromUtf8(error.what()).toHtmlEscaped(), Notice::Tone::bad);
      },
      [this](const ProgressUpdate& update) {
        progress_->setValue(int(1000 * update.fraction));
        progress_->setFormat(QString::fromStdString(update.stage) + QStringLiteral(" %p %"));
      });
}

void ExportPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  // Later: rows are made anew, and Qt is walking through all widgets now.
  if (event->type() == QEvent::PaletteChange) QTimer::singleShot(0, this, [this] { show(); });
}

}  // namespace

QWidget* make_export_panel(Workspace& workspace, QWidget* parent) { return new ExportPanel(workspace, parent); }

}  // namespace lrc::app
