"""`deeppneumonia doctor`: is this installation able to do its work?"""

import typer

from deeppneumonia.cli.console import AsJson, print_json


def doctor(as_json: AsJson = False) -> None:
    """Check this installation: libraries, DICOM decoders, how studies are read, default model, a
    phantom diagnosis.

    Ends with exit code 1 if anything that diagnosing needs is broken.
    """
    from deeppneumonia.workflows.doctor import examine_installation

    findings = examine_installation()
    if as_json:
        print_json([{"check": f.check, "ok": f.ok, "detail": f.detail} for f in findings])
    else:
        for finding in findings:
            mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("FAIL", fg="red")
            typer.echo(f"{mark} {finding.check:28}{finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
