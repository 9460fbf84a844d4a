#include "settings_window.h"

#include <QApplication>
#include <QCheckBox>
#include <QComboBox>
#include <QDesktopServices>
#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QLabel>
#include <QLineEdit>
#include <QMainWindow>
#include <QPushButton>
#include <QScrollArea>
#include <QSettings>
#include <QToolButton>
#include <QUrl>
#include <QVBoxLayout>
#include <set>

#include "base/files.h"
#include "base/parallel.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "shortcut_table.h"
#include "workspace.h"

namespace lrc::app {

namespace {

/// What can be made again by measuring.
std::vector<std::filesystem::path> cleared_folders() {
  return {cache_folder() / "measurements", cache_folder() / "samples", cache_folder() / "moments"};
}

quint64 bytes_below(const std::filesystem::path& folder) {
  quint64 bytes = 0;
  std::error_code code;
  for (std::filesystem::recursive_directory_iterator item(folder, code), end; !code && item != end; item.increment(code))
    if (item->is_regular_file(code)) bytes += item->file_size(code);
  return bytes;
}

void repaint_everything() {
  for (QWidget* widget : QApplication::allWidgets()) {
    QEvent changed(QEvent::PaletteChange);
    QApplication::sendEvent(widget, &changed);
    widget->update();
  }
}

void use_threads(double threads) { set_thread_count(int(threads)); }

/// What moves by itself: panels that slide to their place, menus and tips that fade in, the blinking of the text cursor.
void use_motion(bool on) {
  for (QWidget* widget : QApplication::topLevelWidgets())
    if (auto* window = qobject_cast<QMainWindow*>(widget)) window->setAnimated(on);
  for (const Qt::UIEffect effect : {Qt::UI_AnimateMenu, Qt::UI_FadeMenu, Qt::UI_AnimateCombo, Qt::UI_AnimateTooltip, Qt::UI_FadeTooltip})
    QApplication::setEffectEnabled(effect, on);
  static const int usual_flash_ms = QApplication::cursorFlashTime();
  QApplication::setCursorFlashTime(on ? usual_flash_ms : 0);
}

}  // namespace

void apply_saved_settings() {
  use_threads(QSettings().value("devices/threads", 0).toDouble());
  set_map_palette(QSettings().value("mapPalette", "viridis").toString());
  use_motion(QSettings().value("motion", true).toBool());
}

SettingsWindow::SettingsWindow(Workspace& workspace, QWidget* parent, std::function<void(const QString&)> set_theme,
                               std::function<void(int)> set_font_scale)
    : QDialog(parent), workspace_(workspace) {
  setObjectName("settingsWindow");
  setWindowTitle(tr("Settings"));
  auto* outer = new QVBoxLayout(this);
  outer->setContentsMargins(12, 12, 12, 12);
  outer->setSpacing(8);
  search_ = new QLineEdit(this);
  search_->setObjectName("settingsSearch");
  search_->setPlaceholderText(tr("Search settings"));
  search_->setAccessibleName(tr("Search settings"));
  search_->setClearButtonEnabled(true);
  connect(search_, &QLineEdit::textChanged, this, &SettingsWindow::filter);
  outer->addWidget(search_);
  nothing_ = make_dim_label({}, this);
  nothing_->setObjectName("settingsNothing");
  nothing_->hide();
  outer->addWidget(nothing_);
  auto* scroll = new QScrollArea(this);
  scroll->setWidgetResizable(true);
  scroll->setFrameShape(QFrame::NoFrame);
  scroll->setFocusPolicy(Qt::NoFocus);
  auto* page = new QWidget(scroll);
  column_ = new QVBoxLayout(page);
  column_->setContentsMargins(0, 0, 8, 0);
  column_->setSpacing(16);
  scroll->setWidget(page);
  outer->addWidget(scroll, 1);

  addSection(tr("Appearance"));
  addChoice("theme", tr("Theme"), tr("System follows the desktop"),
            {{"system", tr("System")}, {"light", tr("Light")}, {"dark", tr("Dark")}}, "system", set_theme);
  addNumber("fontScale", tr("Text size"), tr("The font of the whole window; Ctrl++ and Ctrl+− do the same"), 80, 200, 10, 0, tr(" %"), {},
            100, [set_font_scale](double per_cent) { set_font_scale(int(per_cent)); });
  addChoice("mapPalette", tr("Colours of maps"), tr("Cividis is told apart without red and green, grey is for print"),
            {{"viridis", tr("Viridis")}, {"cividis", tr("Cividis")}, {"grey", tr("Grey")}}, "viridis", [](const QString& name) {
              set_map_palette(name);
              repaint_everything();
            });
  addToggle("motion", tr("Motion"), tr("Panels that slide, menus that fade in, a blinking text cursor; off: nothing moves by itself"), true,
            use_motion);
  addSection(tr("Folders"));
  addFolders();
  addSection(tr("Devices"));
  addDevices();
  addSection(tr("Calibration and runs"));
  addToggle("calibration/sample", tr("Keep an activation sample"),
            tr("Measuring writes 1 024 tokens of every layer’s input, about 200 MB for a model of 135 million weights; Distributions and "
               "Channels read it"),
            true, {});
  addNumber("evaluation/windows", tr("Windows of the test text"), tr("Of 2 048 tokens, after each run; more is slower and surer"), 0, 200,
            1, 0, {}, tr("no evaluation"), 6, {});
  addSection(tr("Chat"));
  addChat();
  addSection(tr("Shortcuts"));
  addShortcuts();
  addSection(tr("Network and privacy"));
  addText(tr(
      "Nothing is sent anywhere. The network is used only after “Get…” on the start page, for the sample model. Diagnostics that the log "
      "saves hold versions, devices, the recipe and the log, and no text of yours; the file can be read before it is given to anyone."));
  column_->addStretch(1);
  resize(620, 640);
  search_->setFocus();
}

QVBoxLayout* SettingsWindow::addSection(const QString& title) {
  section_ = new QWidget(this);
  section_title_ = title;
  section_layout_ = new QVBoxLayout(section_);
  section_layout_->setContentsMargins(0, 0, 0, 0);
  section_layout_->setSpacing(4);
  auto* heading = new QLabel(title, section_);
  heading->setFont(font_of_points(font(), 11, true));
  section_layout_->addWidget(heading);
  column_->addWidget(section_);
  return section_layout_;
}

void SettingsWindow::addRow(const QString& label, const QString& tip, QWidget* control, QWidget* reset) {
  auto* row = new QWidget(section_);
  auto* layout = new QHBoxLayout(row);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(8);
  auto* name = new QLabel(label, row);
  name->setToolTip(tip);
  name->setBuddy(control);
  name->setMinimumWidth(190);
  control->setToolTip(tip);
  control->setAccessibleName(label);
  control->setParent(row);
  layout->addWidget(name);
  layout->addWidget(control);
  if (reset) {
    reset->setParent(row);
    layout->addWidget(reset);
  }
  layout->addStretch(1);
  section_layout_->addWidget(row);
  rows_.push_back({row, section_, (section_title_ + ' ' + label + ' ' + tip).toLower()});
}

QWidget* SettingsWindow::makeReset(const char* key, const QString& label) {
  auto* reset =
      make_tool_button((QString("reset_") + QString(key).replace('/', '_')), QStringLiteral("↺"), tr("Back to the standard"), this);
  reset->setAccessibleName(tr("Reset %1").arg(label));
  return reset;
}

void SettingsWindow::addChoice(const char* key, const QString& label, const QString& tip,
                               const std::vector<std::pair<QString, QString>>& values_and_texts, const QString& standard,
                               std::function<void(const QString&)> apply) {
  auto* box = new QComboBox(this);
  box->setObjectName(QString("setting_") + QString(key).replace('/', '_'));
  for (const auto& [value, text] : values_and_texts) box->addItem(text, value);
  box->setCurrentIndex(std::max(0, box->findData(QSettings().value(key, standard))));
  QWidget* reset = makeReset(key, label);
  reset->setVisible(box->currentData() != standard);
  connect(box, &QComboBox::currentIndexChanged, this, [=] {
    QSettings().setValue(key, box->currentData());
    reset->setVisible(box->currentData() != standard);
    if (apply) apply(box->currentData().toString());
  });
  connect(static_cast<QToolButton*>(reset), &QToolButton::clicked, box,
          [=] { box->setCurrentIndex(std::max(0, box->findData(standard))); });
  addRow(label, tip, box, reset);
}

void SettingsWindow::addNumber(const char* key, const QString& label, const QString& tip, double least, double most, double step,
                               int decimals, const QString& suffix, const QString& text_for_least, double standard,
                               std::function<void(double)> apply) {
  auto* box = new QDoubleSpinBox(this);
  box->setObjectName(QString("setting_") + QString(key).replace('/', '_'));
  box->setRange(least, most);
  box->setSingleStep(step);
  box->setDecimals(decimals);
  box->setSuffix(suffix);
  box->setSpecialValueText(text_for_least);
  box->setMinimumWidth(120);
  box->setKeyboardTracking(false);
  box->setValue(QSettings().value(key, standard).toDouble());
  QWidget* reset = makeReset(key, label);
  reset->setVisible(box->value() != standard);
  connect(box, &QDoubleSpinBox::valueChanged, this, [=](double value) {
    QSettings().setValue(key, value);
    reset->setVisible(value != standard);
    if (apply) apply(value);
  });
  connect(static_cast<QToolButton*>(reset), &QToolButton::clicked, box, [=] { box->setValue(standard); });
  addRow(label, tip, box, reset);
}

void SettingsWindow::addToggle(const char* key, const QString& label, const QString& tip, bool standard, std::function<void(bool)> apply) {
  auto* box = new QCheckBox(this);
  box->setObjectName(QString("setting_") + QString(key).replace('/', '_'));
  box->setChecked(QSettings().value(key, standard).toBool());
  QWidget* reset = makeReset(key, label);
  reset->setVisible(box->isChecked() != standard);
  connect(box, &QCheckBox::toggled, this, [=](bool on) {
    QSettings().setValue(key, on);
    reset->setVisible(on != standard);
    if (apply) apply(on);
  });
  connect(static_cast<QToolButton*>(reset), &QToolButton::clicked, box, [=] { box->setChecked(standard); });
  addRow(label, tip, box, reset);
}

void SettingsWindow::addText(const QString& text) {
  auto* label = new QLabel(text, section_);
  label->setWordWrap(true);
  label->setForegroundRole(dim_role);
  section_layout_->addWidget(label);
  rows_.push_back({label, section_, (section_title_ + ' ' + text).toLower()});
}

void SettingsWindow::addFolders() {
  auto* runs = new QPushButton(tr("Open"), this);
  runs->setObjectName("openRunsFolder");
  const QString runs_folder = QString::fromStdString(workspace_.runsFolder().string());
  connect(runs, &QPushButton::clicked, this, [runs_folder] { QDesktopServices::openUrl(QUrl::fromLocalFile(runs_folder)); });
  addRow(tr("Runs"), runs_folder, runs, nullptr);
  auto* another = new QPushButton(tr("Choose…"), this);
  connect(another, &QPushButton::clicked, this, [this] {
    const QString chosen = QFileDialog::getExistingDirectory(this, tr("Where runs are kept"));
    if (!chosen.isEmpty()) QSettings().setValue("folders/runs", chosen);
  });
  addRow(tr("Runs from the next start"), tr("Another folder for runs"), another, nullptr);
  auto* clear = new QPushButton(tr("Clear"), this);
  clear->setObjectName("clearCache");
  connect(clear, &QPushButton::clicked, this, [this] {
    if (workspace_.measuring()) return;
    workspace_.queryLane().submit<bool>(
        "cache", this,
        [](Progress&, std::stop_token) {
          std::error_code code;
          for (const auto& folder : cleared_folders()) std::filesystem::remove_all(folder, code);
          return !code;
        },
        [this](bool) {
          workspace_.log(LogLevel::info, tr("Measurements, samples and moments were cleared"));
          measureCache();
        });
  });
  addRow(tr("What measuring keeps"),
         tr("Measurements, samples and moments in %1; all can be measured again").arg(QString::fromStdString(cache_folder().string())),
         clear, nullptr);
  cache_size_ = make_dim_label({}, section_);
  cache_size_->setObjectName("cacheSize");
  static_cast<QHBoxLayout*>(clear->parentWidget()->layout())->insertWidget(2, cache_size_);
  for (QPushButton* button : {runs, another, clear}) button->setAutoDefault(false);  // Enter in the search presses none of them
  measureCache();
}

void SettingsWindow::measureCache() {
  workspace_.queryLane().submit<quint64>(
      "cache", this,
      [](Progress&, std::stop_token) {
        quint64 bytes = 0;
        for (const auto& folder : cleared_folders()) bytes += bytes_below(folder);
        return bytes;
      },
      [this](quint64 bytes) { cache_size_->setText(format_megabytes(bytes)); });
}

void SettingsWindow::addDevices() {
  std::vector<std::pair<QString, QString>> devices = {{QString(), tr("CPU")}};
  for (const DeviceInfo& device : workspace_.devices())
    if (device.usable && !device.uuid.empty() && device.id != "cpu")
      devices.emplace_back(QString::fromStdString(device.uuid), QString::fromStdString(device.name));
  addChoice("devices/preferred", tr("Chat runs on"), tr("What both sides of a chat start with; a device is remembered by its own number"),
            devices, QString(), {});
  addNumber("devices/threads", tr("Threads"), tr("Results do not depend on their number"), 0, 256, 1, 0, {}, tr("all"), 0, use_threads);
  addNumber(
      "devices/memoryLimitGib", tr("Memory limit"),
      tr("What runs may hold: the work is cut to fit, with the same result; a model that needs more is asked about before it is opened"), 0,
      4096, 1, 1, tr(" GiB"), tr("what is free"), 0, [this](double) {
        if (workspace_.hasModel()) emit workspace_.draftChanged();  // the forecast and the command name it
      });
}

void SettingsWindow::addChat() {
  const QString when = tr("What a chat begins with when a model is opened; each can be changed there");
  addChoice("chat/mode", tr("Mode"), when, {{"0", tr("Free")}, {"1", tr("B follows A")}, {"2", tr("A follows B")}}, "1", {});
  addChoice("chat/colour", tr("Colour tokens by"), when,
            {{"0", tr("KL per token")}, {"1", tr("Change of probability")}, {"3", tr("Rank in B")}, {"2", tr("Nothing")}}, "0", {});
  addChoice("chat/preset", tr("Sampling"), when, {{"0", tr("Greedy")}, {"1", tr("Default")}, {"2", tr("Creative")}}, "0", {});
  addNumber("chat/maxNew", tr("Longest answer"), when, 1, 4096, 16, 0, tr(" tokens"), {}, 128, {});
  addNumber("chat/seed", tr("Seed"), when, 0, 2147483647, 1, 0, {}, {}, 0, {});
}

void SettingsWindow::addShortcuts() {
  auto* table = new ShortcutTable(*parentWidget(), section_);
  section_layout_->addWidget(table);
  QString words = section_title_.toLower();
  for (const QAction* action : parentWidget()->findChildren<QAction*>(QString(), Qt::FindDirectChildrenOnly))
    words += ' ' + action->text().toLower();
  rows_.push_back({table, section_, words.remove('&')});
  connect(search_, &QLineEdit::textChanged, table, [table](const QString& text) { table->filter(text.trimmed()); });
}

void SettingsWindow::filter(const QString& words) {
  const QString wanted = words.trimmed().toLower();
  std::set<QWidget*> with_rows;
  for (const Row& row : rows_) {
    const bool shown = wanted.isEmpty() || row.words.contains(wanted);
    row.widget->setVisible(shown);
    if (shown) with_rows.insert(row.section);
  }
  for (const Row& row : rows_) row.section->setVisible(with_rows.contains(row.section));
  nothing_->setText(tr("No setting has “%1” in its name or its explanation.").arg(words.trimmed()));
  nothing_->setVisible(with_rows.empty());
}

}  // namespace lrc::app
