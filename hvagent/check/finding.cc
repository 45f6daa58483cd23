// SPDX-License-Identifier: Apache-2.0
//
// See finding.h.
#include "hvagent/check/finding.h"

namespace nvo3::agent {
namespace {

const char* word(Finding::Grade grade)
{
    return grade == Finding::Grade::ok ? "ok" : grade == Finding::Grade::warn ? "warn" : "fail";
}

// Names come from files, the database and peers: a line stays one line.
std::string one_line(std::string text)
{
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
            c = '?';
        }
    }
    return text;
}

}  // namespace

std::string to_line(const Finding& finding)
{
    return one_line(std::string(word(finding.grade)) + ": " + finding.thing + ": " + finding.what + (finding.fix.empty() ? "" : " - " + finding.fix));
}

Finding from_sentence(Finding::Grade grade, const std::string& thing, const std::string& sentence, const std::string& fix)
{
    auto colon = sentence.rfind(": ");
    if (colon == sentence.npos) {
        return {grade, thing, sentence, fix};
    }
    return {grade, thing, sentence.substr(0, colon), sentence.substr(colon + 2)};
}

}  // namespace nvo3::agent
