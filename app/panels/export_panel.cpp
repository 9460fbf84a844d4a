#include "panels/export_panel.h"

#include <QComboBox>
#include <QLineEdit>
#include <QProgressBar>
#include <QPushButton>
#include <QStorageInfo>
#include <QTimer>
#include <QVBoxLayout>

#include "models/run_facts.h"
#include "panels/check_row.h"
#include "panels/export_sizes.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "run/export_run.h"
#include "widgets.h"

namespace lrc::app {

namespace {

QString text_of(std::string_view text) { return QString::fromUtf8(text.data(), qsizetype(text.size())); }

}  // namespace

const Preflight* ExportPanel::preflight() const {
  const Exporter* exporter = target();
  const auto found = exporter ? preflights_.find(std::string(exporter->name)) : preflights_.end();
  return found == preflights_.end() ? nullptr : &found->second;
}

const ExportResult* ExportPanel::outcome() const {
  return written_ && workspace_.slotB() == Slot{written_->run} && target() == written_->target ? &written_->result : nullptr;
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
      "preflight", this,
      [opened = *opened, folder = std::filesystem::path(folder_->text().toStdString()), chosen = options()](Progress&, std::stop_token) {
        return preflight_of(opened, folder, chosen);
      },
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
    empty_->say(tr("B is the original: choose a run to export."));
  else if (!b->usable())
    empty_->say(tr("B is not finished: %1 of %2 layers are solved.").arg(b->manifest.layers.size()).arg(b->manifest.layers_total));
  body_->setVisible(b != nullptr && b->usable());
  showChoices();
  const Exporter* exporter = target();
  const Preflight* found = preflight();
  if (exporter == nullptr || b == nullptr) return;
  const Colours& c = colours();
  heading_->setText(text_of(exporter->title));
  consumers_->setText(tr("for %1").arg(text_of(exporter->consumers)));
  options_->setVisible(exporter->name == "gguf");
  targets_->viewport()->update();
  clear_layout(*checks_layout_);
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
    std::vector<ArithmeticRow> arithmetic = found->arithmetic;
    arithmetic.push_back(divergence_row(b->manifest, found->arithmetic));
    for (const ArithmeticRow& row : arithmetic)
      rows +=
          QString(
              "<tr><td style='padding-right:16px; color:%1'>%2</td><td style='padding-right:16px'>%3</td><td style='color:%4'>%5</td></tr>")
              .arg(c.dim.name(), QString::fromStdString(row.what).toHtmlEscaped(), QString::fromStdString(row.here).toHtmlEscaped(),
                   row.here == row.there || row.there.starts_with("the same") ? c.text.name() : c.warn.name(),
                   QString::fromStdString(row.there).toHtmlEscaped());
    computes_->setText("<table cellpadding='1'>" + rows + "</table>");
    size_->setText(tr("Forecast <b>%1</b>").arg(format_megabytes(found->forecast.bytes())));
    parts_->show_forecast(found->forecast);
    command_->setText(QString::fromStdString(found->forecast.command));
    command_->setCursorPosition(0);
    command_->setToolTip(command_->text());
  } else {
    size_->clear();
  }
  parts_->setVisible(ready && outcome() == nullptr);
  for (QWidget* each : {static_cast<QWidget*>(command_title_), static_cast<QWidget*>(command_), static_cast<QWidget*>(copy_)})
    each->setVisible(ready);
  QString why;
  showRoom(ready ? &found->forecast : nullptr);
  if (!ready)
    why = found ? found->problem : QString();
  else if (found->count(CheckStatus::refused) > 0)
    why = tr("Waiting for %1 to be fixed")
              .arg(found->count(CheckStatus::refused) == 1 ? tr("1 refusal") : tr("%1 refusals").arg(found->count(CheckStatus::refused)));
  else if (folder_->text().isEmpty())
    why = tr("Name a folder");
  else if (short_of_room_)
    why = tr("The disk of this folder has too little room");
  why_not_->setText(why);
  export_->setEnabled(ready && why.isEmpty() && !writing_);
  const int there = ready ? filesThere(found->forecast) : 0;
  export_->setText(there == 0   ? tr("Export and verify")
                   : there == 1 ? tr("Replace 1 file and verify")
                                : tr("Replace %1 files and verify").arg(there));
  stop_->setVisible(writing_);
  progress_->setVisible(writing_);
  showOutcome();
}

void ExportPanel::showChoices() {
  clear_layout(*choices_layout_);
  const bool none = workspace_.hasModel() && !workspace_.slotB().run;
  for (const int number : none ? best_by_divergence(workspace_.runs(), 3) : std::vector<int>{}) {
    const Manifest& run = workspace_.findRun(number)->manifest;
    auto* choose = new LineButton(tr("%1   KL %2 nat/token   %3 b/w   %4")
                                      .arg(workspace_.slotTitle({number}), format_kl(run.evaluation->kl->mean),
                                           format_bits(run.bits_per_weight), format_megabytes(run.file_bytes)),
                                  choices_);
    choose->setObjectName(QString("exportChoose_%1").arg(number));
    choices_layout_->addWidget(choose, 0, Qt::AlignLeft);
    connect(choose, &QPushButton::clicked, this, [this, number] { workspace_.setSlotB({number}); });
  }
  choices_->setVisible(choices_layout_->count() > 0);
}

/// Of the disk on which the folder lies or will lie.
void ExportPanel::showRoom(const ExportForecast* forecast) {
  QString place = QFileInfo(folder_->text()).absoluteFilePath();
  while (!QFileInfo::exists(place) && QFileInfo(place).path() != place) place = QFileInfo(place).path();
  const QStorageInfo disk(place);
  space_->setVisible(disk.isValid());
  const DiskRoom room = room_for(forecast ? forecast->bytes() : 0, quint64(std::max<qint64>(0, disk.bytesAvailable())));
  short_of_room_ = disk.isValid() && room.short_of_room;
  QPalette shades = space_->palette();
  shades.setColor(QPalette::WindowText, short_of_room_ ? colours().bad : colours().dim);
  space_->setPalette(shades);
  space_->setText(room.sentence);
}

void ExportPanel::showOutcome() {
  const ExportResult* written = outcome();
  const bool done = written != nullptr;
  files_->setVisible(done);
  open_folder_->setVisible(done);
  const Colours& c = colours();
  verify_title_->setText(done ? (written->verified ? tr("<b>Written and proven</b>") : tr("<b>Written, not proven</b>"))
                              : tr("<b>After writing</b>"));
  QStringList facts;
  if (done)
    for (const std::string& fact : written->verified_facts)
      facts << QStringLiteral("<span style='color:%1'>✓</span> %2").arg(c.ok.name(), QString::fromStdString(fact).toHtmlEscaped());
  else
    facts << tr(
        "Every tensor is read back from the files and compared with the run, bit for bit. Files that are not equal keep the ending "
        ".unverified.");
  verified_->setText(facts.join("<br>"));
  if (!done) return;
  QStringList lines;
  for (const ExportedFile& file : written->files)
    lines << QString("%1 &nbsp;<b>%2</b><br><span style='color:%3'>sha256 %4…</span>")
                 .arg(QString::fromStdString(file.path.filename().string()).toHtmlEscaped(), format_megabytes(file.bytes), c.dim.name(),
                      QString::fromStdString(file.sha256).left(16));
  files_->setText(lines.join("<br>"));
  command_->setText(QString::fromStdString(written->command));
  command_->setCursorPosition(0);
  command_->setToolTip(command_->text());
}

int ExportPanel::filesThere(const ExportForecast& forecast) const {
  const std::filesystem::path folder = folder_->text().toStdString();
  std::error_code code;
  return int(std::ranges::count_if(forecast.files, [&](const auto& file) { return std::filesystem::exists(folder / file.what, code); }));
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
  if (!opened || exporter == nullptr || writing_ || !workspace_.slotB().run) return;
  const int number = *workspace_.slotB().run;
  const std::filesystem::path folder = folder_->text().toStdString();
  writing_ = true;
  written_.reset();
  progress_->setRange(0, 1000);
  progress_->setValue(0);
  const RunEntry* running = workspace_.runningRun();
  progress_->setFormat(running                       ? tr("waits for #%1").arg(running->number)
                       : workspace_.runLane().busy() ? tr("waits for the measuring")
                                                     : QStringLiteral("#%1 %p %").arg(number));
  stop_->show();
  if (export_->hasFocus()) stop_->setFocus();  // a button that is disabled would hand the focus to whatever comes next
  show();
  workspace_.runLane().submit<ExportResult>(
      "export", this,
      [opened = *opened, exporter, folder, chosen = options()](Progress& progress, std::stop_token stop) {
        RunExport run(opened);
        return exporter->write(run.source(), folder, chosen, progress, stop);
      },
      [this, number, exporter, folder](ExportResult result) {
        const bool watched = stop_->hasFocus();
        writing_ = false;
        written_ = {number, exporter, std::move(result)};
        workspace_.log(LogLevel::info, tr("#%1 was exported to %2").arg(number).arg(QString::fromStdString(folder.string())));
        show();
        if (watched && copy_->isVisible()) copy_->setFocus();
      },
      [this](const Error& error) {
        writing_ = false;
        show();
        if (error.kind() != ErrorKind::stopped) verdict_->say(QString::fromUtf8(error.what()).toHtmlEscaped(), Notice::Tone::bad);
      },
      [this, number](const ProgressUpdate& update) {
        progress_->setValue(int(1000 * update.fraction));
        progress_->setFormat(QStringLiteral("#%1 %2 %p %").arg(number).arg(QString::fromStdString(update.stage)));
      });
}

void ExportPanel::changeEvent(QEvent* event) {
  QWidget::changeEvent(event);
  // Later: rows are made anew, and Qt is walking through all widgets now.
  if (event->type() == QEvent::PaletteChange) QTimer::singleShot(0, this, [this] { show(); });
}

QWidget* make_export_panel(Workspace& workspace, QWidget* parent) { return new ExportPanel(workspace, parent); }

}  // namespace lrc::app
