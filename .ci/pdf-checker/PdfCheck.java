import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import org.apache.pdfbox.preflight.PreflightDocument;
import org.apache.pdfbox.preflight.ValidationResult;
import org.apache.pdfbox.preflight.exception.SyntaxValidationException;
import org.apache.pdfbox.preflight.parser.PreflightParser;
import org.verapdf.gf.foundry.VeraGreenfieldFoundryProvider;
import org.verapdf.pdfa.Foundries;
import org.verapdf.pdfa.PDFAParser;
import org.verapdf.pdfa.PDFAValidator;
import org.verapdf.pdfa.flavours.PDFAFlavour;
import org.verapdf.pdfa.results.TestAssertion;

/** Checks files against PDF/A-1b with two checkers; prints a line a fault: file, checker, fault; "ok" when none. */
public class PdfCheck {
  public static void main(String[] names) throws Exception {
    java.util.logging.LogManager.getLogManager().reset();
    VeraGreenfieldFoundryProvider.initialise();
    for (String name : names) {
      veraPdf(name);
      preflight(name);
    }
  }

  private static void say(String name, String checker, String what) {
    System.out.println(name + "\t" + checker + "\t" + what.replaceAll("\\s+", " "));
  }

  private static void veraPdf(String name) {
    try (InputStream in = new FileInputStream(name);
        PDFAParser parser = Foundries.defaultInstance().createParser(in, PDFAFlavour.PDFA_1_B)) {
      PDFAValidator validator = Foundries.defaultInstance().createValidator(PDFAFlavour.PDFA_1_B, false);
      org.verapdf.pdfa.results.ValidationResult result = validator.validate(parser);
      if (result.isCompliant()) say(name, "verapdf", "ok");
      for (TestAssertion fault : result.getTestAssertions())
        if (fault.getStatus() == TestAssertion.Status.FAILED)
          say(name, "verapdf", fault.getRuleId().getClause() + "-" + fault.getRuleId().getTestNumber() + " "
              + fault.getMessage() + " @ " + fault.getLocation().getContext());
    } catch (Exception e) {
      say(name, "verapdf", "unreadable: " + e);
    }
  }

  private static void preflight(String name) throws Exception {
    ValidationResult result;
    PreflightParser parser = new PreflightParser(new File(name));
    try {
      parser.parse();
      try (PreflightDocument document = parser.getPreflightDocument()) {
        document.validate();
        result = document.getResult();
      }
    } catch (SyntaxValidationException e) {
      result = e.getResult();
    }
    if (result.isValid()) say(name, "preflight", "ok");
    for (ValidationResult.ValidationError fault : result.getErrorsList())
      say(name, "preflight", fault.getErrorCode() + " " + fault.getDetails());
  }
}
