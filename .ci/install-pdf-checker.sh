# The outside checkers of PDF/A-1b, in a cache folder: sourced by .ci/run, or run alone. Needs Java 17 and Maven.
# Leaves PASSERELLE_PDF_CHECKER set to the folder that the tests look for.
pdf_checker_source="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/pdf-checker"
PASSERELLE_PDF_CHECKER="${PASSERELLE_PDF_CHECKER:-${PASSERELLE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/passerelle-ci}/pdf-checker}"
pdf_checker_stamp="$(cat "$pdf_checker_source"/pom.xml "$pdf_checker_source"/PdfCheck.java | sha256sum | cut -c1-16)"
if [ ! -f "$PASSERELLE_PDF_CHECKER/$pdf_checker_stamp" ]; then
  mkdir -p "$PASSERELLE_PDF_CHECKER"
  mvn -q -B -f "$pdf_checker_source/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$PASSERELLE_PDF_CHECKER/lib" >/dev/null
  javac -cp "$PASSERELLE_PDF_CHECKER/lib/*" -d "$PASSERELLE_PDF_CHECKER" "$pdf_checker_source/PdfCheck.java"
  touch "$PASSERELLE_PDF_CHECKER/$pdf_checker_stamp"
fi
export PASSERELLE_PDF_CHECKER
