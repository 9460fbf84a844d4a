// Help: the sheet of shortcuts, the terms, about.
#include <QAction>
#include <QApplication>
#include <QDialog>
#include <QDialogButtonBox>
#include <QHeaderView>
#include <QLabel>
#include <QLineEdit>
#include <QTableWidget>
#include <QTextBrowser>
#include <QVBoxLayout>
#include <algorithm>

#include "devices_window.h"
#include "main_window.h"
#include "models/glossary.h"
#include "plot_style.h"
#include "settings_window.h"

namespace lrc::app {

void MainWindow::show_shortcuts() {
  auto* sheet = new QDialog(this);
  sheet->setObjectName("shortcutSheet");
  sheet->setAttribute(Qt::WA_DeleteOnClose);
  sheet->setWindowTitle(tr("Shortcuts"));
  auto* column = new QVBoxLayout(sheet);
  auto* search = new QLineEdit(sheet);
  search->setPlaceholderText(tr("Search"));
  search->setAccessibleName(tr("Search shortcuts"));
  column->addWidget(search);
  std::vector<std::pair<QString, QString>> rows;
  for (QAction* action : findChildren<QAction*>())
    if (!action->shortcut().isEmpty() && !action->objectName().isEmpty()) {
      QStringList keys;
      for (const QKeySequence& each : action->shortcuts()) keys << each.toString(QKeySequence::NativeText);
      rows.emplace_back(action->text().remove('&').remove("…"), keys.join(tr(" or ")));
    }
  const std::vector<std::pair<QString, QString>> table_keys = {{tr("Layers: rank of the selection"), "R"},
                                                               {tr("Layers: bits of the selection"), "B"},
                                                               {tr("Layers: note"), "N"},
                                                               {tr("Layers: reset to inherited"), "Backspace"},
                                                               {tr("Layers: previous, next block"), "[  ]"},
                                                               {tr("Layers: previous, next role"), "{  }"},
                                                               {tr("Layers: measure of the map"), "1…6"},
                                                               {tr("Layers: copy rows"), "Ctrl+C"},
                                                               {tr("Spectrum: rank by 1, by 8, to a multiple of 32"), "← →  Shift  Ctrl"},
                                                               {tr("Runs: pause or resume"), "Space"},
                                                               {tr("Runs: to slot A, to slot B"), "A  B"},
                                                               {tr("Runs: recipe as draft"), "D"},
                                                               {tr("Runs: note, pin"), "N  P"},
                                                               {tr("Runs: to the trash"), "Del"},
                                                               {tr("Chat: previous, next token"), "← →"},
                                                               {tr("Chat: previous, next token with KL > 0.5"), "Ctrl+← →"},
                                                               {tr("Chat: pin the table of a token"), "Space"},
                                                               {tr("Chat: from this token on in its own words"), "Enter"},
                                                               {tr("Chat: edit the last message"), "↑"},
                                                               {tr("Chat: mute a block of the branch, leave it alone"), "Space  S"},
                                                               {tr("Chat: rename in the history"), "F2"},
                                                               {tr("Chat: stop, close the table of a token"), "Esc"}};
  rows.insert(rows.end(), table_keys.begin(), table_keys.end());
  std::sort(rows.begin(), rows.end());
  auto* table = new QTableWidget(int(rows.size()), 2, sheet);
  table->setHorizontalHeaderLabels({tr("Command"), tr("Keys")});
  table->verticalHeader()->hide();
  table->setShowGrid(false);
  table->setEditTriggers(QAbstractItemView::NoEditTriggers);
  table->setSelectionBehavior(QAbstractItemView::SelectRows);
  table->horizontalHeader()->setSectionResizeMode(0, QHeaderView::Stretch);
  table->horizontalHeader()->setSectionResizeMode(1, QHeaderView::ResizeToContents);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    table->setItem(int(i), 0, new QTableWidgetItem(rows[i].first));
    table->setItem(int(i), 1, new QTableWidgetItem(rows[i].second));
  }
  column->addWidget(table);
  connect(search, &QLineEdit::textChanged, table, [table](const QString& text) {
    for (int i = 0; i < table->rowCount(); ++i)
      table->setRowHidden(i, !table->item(i, 0)->text().contains(text, Qt::CaseInsensitive) &&
                                 !table->item(i, 1)->text().contains(text, Qt::CaseInsensitive));
  });
  sheet->resize(460, 560);
  sheet->show();
}

void MainWindow::show_about() {
  auto* about = new QDialog(this);
  about->setObjectName("aboutWindow");
  about->setAttribute(Qt::WA_DeleteOnClose);
  about->setWindowTitle(tr("About LRC Workbench"));
  auto* column = new QVBoxLayout(about);
  auto* text =
      new QLabel(tr("<b>LRC Workbench %1</b><br>Post-training quantization with low-rank correction.<br><br>"
                    "GPL-3.0-or-later. Built with Qt %2 (LGPL-3.0), QCustomPlot (GPL-3.0), Eigen (MPL-2.0), OpenBLAS (BSD-3-Clause), "
                    "LAPACK (BSD-3-Clause), nlohmann JSON (MIT).<br>Calibration and test texts: WikiText-2 (CC BY-SA). Sample models: "
                    "stories260K (MIT), "
                    "SmolLM2-135M-Instruct (Apache-2.0).")
                     .arg(QApplication::applicationVersion(), qVersion()),
                 about);
  text->setWordWrap(true);
  text->setMinimumWidth(420);
  text->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(text);
  auto* buttons = new QDialogButtonBox(QDialogButtonBox::Close, about);
  connect(buttons, &QDialogButtonBox::rejected, about, &QDialog::close);
  column->addWidget(buttons);
  about->show();
}

void MainWindow::show_glossary(const QString& term) {
  auto* window = findChild<QDialog*>("glossaryWindow");
  if (!window) {
    window = new QDialog(this);
    window->setObjectName("glossaryWindow");
    window->setAttribute(Qt::WA_DeleteOnClose);
    window->setWindowTitle(tr("Terms"));
    auto* column = new QVBoxLayout(window);
    auto* text = new QTextBrowser(window);
    text->setObjectName("glossaryText");
    text->setAccessibleName(tr("Terms and their formulas"));
    column->addWidget(text);
    QString html;
    for (const GlossaryEntry& entry : glossary()) {
      html += QString("<p><a name='%1'></a><b>%1</b><br>%2").arg(entry.term.toHtmlEscaped(), entry.sentence.toHtmlEscaped());
      if (!entry.formula.isEmpty())
        html += QString("<br><span style='color:%1'>%2</span>").arg(colours().dim.name(), entry.formula.toHtmlEscaped());
      html += "</p>";
    }
    text->setHtml(html);
    window->resize(560, 520);
  }
  window->show();
  window->raise();
  if (!term.isEmpty()) window->findChild<QTextBrowser*>()->scrollToAnchor(term);
}

void MainWindow::show_settings() {
  auto* window = findChild<QDialog*>("settingsWindow");
  if (!window) {
    window = new SettingsWindow(
        workspace_, this, [this](const QString& theme) { set_theme(theme); }, [this](int per_cent) { set_font_scale(per_cent); });
    window->setAttribute(Qt::WA_DeleteOnClose);
  }
  window->show();
  window->raise();
  window->activateWindow();
}

void MainWindow::show_devices() {
  auto* window = findChild<QDialog*>("devicesWindow");
  if (!window) {
    window = new DevicesWindow(workspace_, this);
    window->setAttribute(Qt::WA_DeleteOnClose);
  }
  window->show();
  window->raise();
  window->activateWindow();
}

}  // namespace lrc::app
