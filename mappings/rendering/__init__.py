"""What people see of a document: posology sentences, HTML pages, PDF/A-1b files, 2D codes.

``pdf`` prints any document, ``html`` shows it, ``posology`` says a dosage in French, ``codes`` writes and reads 2D
codes, ``convert`` makes PDF of RTF and images. The libraries behind them load on first use, not on import.
"""
